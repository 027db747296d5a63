package cli

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/guest"
	"github.com/ringwall/ringwall/internal/ui"
	"github.com/ringwall/ringwall/internal/version"
)

func newPs() *cobra.Command {
	c := &cobra.Command{Use: "ps", Short: "List the sandboxes of this user", Args: cobra.NoArgs}
	asJSON := jsonFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		eng, err := newEngine()
		if err != nil {
			return err
		}
		all, err := eng.List()
		if err != nil {
			return err
		}
		out := api.Sandboxes{Schema: "ringwall.sandboxes/1", Sandboxes: []api.Sandbox{}}
		for _, e := range all {
			out.Sandboxes = append(out.Sandboxes, api.Sandbox{ID: e.ID, Live: e.Live, Backend: e.Record.Backend,
				Project: e.Record.Project, Command: e.Record.Command, OwnerPID: e.Record.Owner, Started: e.Record.Started})
		}
		if *asJSON {
			return printJSON(os.Stdout, out)
		}
		if len(all) == 0 {
			fmt.Fprintln(os.Stderr, "no sandboxes")
			return nil
		}
		t := newTable("ID", "STATE", "BACKEND", "AGE", "PROJECT", "COMMAND")
		for _, s := range out.Sandboxes {
			state := "live"
			if !s.Live {
				state = "dead"
			}
			t.row(s.ID, state, s.Backend, ui.Age(time.Since(s.Started)), orNone(s.Project), brief(s.Command))
		}
		return t.flush()
	}
	return c
}

func newWorkspaces() *cobra.Command {
	c := &cobra.Command{Use: "workspaces", Short: "List the kept changes of earlier runs", Args: cobra.NoArgs}
	asJSON := jsonFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		eng, err := newEngine()
		if err != nil {
			return err
		}
		all, err := eng.Workspaces() // err may come with a list: print both
		out := api.Workspaces{Schema: "ringwall.workspaces/1", Workspaces: []api.WorkspaceRecord{}}
		for _, r := range all {
			out.Workspaces = append(out.Workspaces, api.WorkspaceRecord{ID: r.ID, Project: r.Project, Command: r.Command,
				Created: r.Created, Updated: r.Updated, State: r.State, Added: r.Added, Modified: r.Modified, Deleted: r.Deleted})
		}
		if *asJSON {
			if e := printJSON(os.Stdout, out); e != nil {
				return e
			}
			return err
		}
		if len(all) == 0 {
			if err == nil {
				fmt.Fprintln(os.Stderr, "no workspaces")
			}
			return err
		}
		t := newTable("ID", "STATE", "AGE", "CHANGES", "PROJECT", "COMMAND")
		for _, w := range out.Workspaces {
			changes := fmt.Sprintf("+%d ~%d -%d", w.Added, w.Modified, w.Deleted)
			t.row(w.ID, w.State, ui.Age(time.Since(w.Created)), changes, orNone(w.Project), brief(w.Command))
		}
		if e := t.flush(); e != nil {
			return e
		}
		return err
	}
	return c
}

func newGC() *cobra.Command {
	c := &cobra.Command{Use: "gc", Short: "Remove what killed runs left behind", Args: cobra.NoArgs,
		Long: `Remove what runs left behind that were killed: processes, directories, control
groups and workspaces without changes. Changes are never removed: a workspace that has some is
kept. Sandboxes that still run are not touched.`}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		eng, err := newEngine()
		if err != nil {
			return err
		}
		ctx := c.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		done, err := eng.GC(ctx)
		if *asJSON {
			out := api.Cleaned{Schema: "ringwall.gc/1", Sandboxes: append([]string{}, done.Sandboxes...),
				KeptWorkspaces: append([]string{}, done.Workspaces...), Groups: append([]string{}, done.Groups...)}
			if e := printJSON(os.Stdout, out); e != nil {
				return e
			}
			return err
		}
		for _, id := range done.Sandboxes {
			fmt.Println("removed sandbox", id)
		}
		for _, id := range done.Workspaces {
			fmt.Println("kept workspace", id)
		}
		for _, path := range done.Groups {
			fmt.Println("removed control group", path)
		}
		if err == nil && len(done.Sandboxes)+len(done.Workspaces)+len(done.Groups) == 0 {
			fmt.Fprintln(os.Stderr, "nothing to clean")
		}
		return err
	}
	return c
}

func newVersion() *cobra.Command {
	c := &cobra.Command{Use: "version", Short: "Print which build this is", Args: cobra.NoArgs}
	asJSON := jsonFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		v, commit := version.Get()
		if *asJSON {
			return printJSON(os.Stdout, api.Version{Schema: "ringwall.version/1", Version: v, Commit: commit, Go: runtime.Version(),
				OS: runtime.GOOS, Arch: runtime.GOARCH, Protocol: guest.Version})
		}
		_, err := fmt.Printf("ringwall %s %s/%s\n", v, runtime.GOOS, runtime.GOARCH)
		return err
	}
	return c
}

// widest is how many characters of a project or command a table shows.
const widest = 60

// orNone returns a project for a table: of a long path the end, which tells more.
func orNone(path string) string {
	if path == "" {
		return "-"
	}
	if r := []rune(path); len(r) > widest {
		return "…" + string(r[len(r)-widest+1:])
	}
	return path
}

// brief returns a command for a table: of a long one the beginning.
func brief(command []string) string {
	s := strings.Join(command, " ")
	if r := []rune(s); len(r) > widest {
		return string(r[:widest-1]) + "…"
	}
	return s
}

// table prints columns. Cells are neutralised: commands and paths are anybody's.
type table struct{ w *tabwriter.Writer }

func newTable(head ...string) table {
	t := table{tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)}
	t.row(head...)
	return t
}

func (t table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = ui.Neutral(c)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t table) flush() error { return t.w.Flush() }
