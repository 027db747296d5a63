// Package cli is the command line. It decides nothing: it parses, asks the engine,
// and prints. Data goes to stdout, everything else to stderr.
package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringwall/ringwall/internal/backend/all"
	"github.com/ringwall/ringwall/internal/engine"
	"github.com/ringwall/ringwall/internal/host"
	"github.com/ringwall/ringwall/internal/keeper"
	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/ui"
)

// Main runs the command line and returns the exit status.
func Main() int {
	if os.Args[0] == keeper.Arg0 {
		return keeper.Main(all.Kept)
	}
	status := 0
	root := Root(&status)
	err := root.Execute()
	if err == nil {
		return status
	}
	var said reported
	if errors.As(err, &said) {
		return said.status
	}
	hint := sandbox.HintOf(err)
	var ours *sandbox.Error
	if !errors.As(err, &ours) && hint == "" {
		hint = "see `ringwall --help`" // a mistake in the command line
	}
	ui.PaletteFor(os.Stderr).Error(os.Stderr, err, hint)
	return max(sandbox.ExitStatus(err), 125)
}

// reported is an error that has been printed.
type reported struct{ status int }

func (r reported) Error() string { return fmt.Sprintf("status %d", r.status) }

// Root returns the command tree. The status of a program that ran is put into status.
func Root(status *int) *cobra.Command {
	root := &cobra.Command{
		Use:   "ringwall",
		Short: "Run what an AI agent wants to run, without letting it near anything else",
		Long: `Ringwall runs a command on a copy-on-write view of a project: without network,
without your keys and tokens, without a way to your files, processes and devices.
What it changed is listed and kept aside; the project itself stays as it was.

  ringwall run -- make test`,
		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		SilenceErrors:              true,
		Args:                       unknownCommand,
		RunE:                       func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		var value *pflag.InvalidValueError
		if errors.As(err, &value) && value.GetFlag().Value.Type() == "int" { // the cause names a function of Go's
			err = fmt.Errorf("--%s %s: this is no whole number", value.GetFlag().Name, value.GetValue())
		}
		return &sandbox.Error{Code: sandbox.CodeInvalid, Op: "parse", Err: err, Hint: "see `" + c.CommandPath() + " --help`"}
	})
	root.AddCommand(newRun(status), newPs(), newGC(), newWorkspaces(), newVersion())
	return root
}

// unknownCommand refuses a command that there is not, and names one that may be meant.
func unknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see `ringwall --help`; to run a program: ringwall run -- " + args[0]
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		hint = "did you mean `ringwall " + like[0] + "`?"
	}
	return &sandbox.Error{Code: sandbox.CodeInvalid, Op: "parse", Err: fmt.Errorf("there is no command %q", args[0]), Hint: hint}
}

// newEngine returns the engine of the calling user.
func newEngine() (*engine.Engine, error) {
	caller := host.Caller()
	dirs, err := host.FindDirs(caller)
	if err != nil {
		return nil, err
	}
	return engine.New(caller, dirs, all.Backends(dirs.Runtime, dirs.State)), nil
}

// jsonFlag adds --json to c.
func jsonFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("json", false, "print JSON")
}

// printJSON writes v for machines.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
