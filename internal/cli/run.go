package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/backend/ns"
	"github.com/ringwall/ringwall/internal/engine"
	"github.com/ringwall/ringwall/internal/keyfiles"
	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/ui"
)

// runFlags are the flags of `ringwall run`.
type runFlags struct {
	project string
	rootfs  string
	env     []string
	ro      []string
	share   []string
	rw      []string
	show    []string
	user    string
	userNS  bool
	memory  string
	pids    int
	discard bool
	export  string
	result  string
	verbose bool
	backend string
	unsafe  bool
}

func newRun(status *int) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [flags] -- CMD [ARG...]",
		Short: "Run a command in a sandbox",
		Long: `Run a command in a sandbox of its own, on a copy-on-write view of the project.

The project appears inside at its own path; files in it that look like keys appear
empty. The command has no network, an empty home directory, the host's system
directories read-only, and of the environment only PATH, TERM, LANG and the like.
When it ends, everything that it started ends with it. What was hidden, what it was
refused and what it changed is listed on standard error; the changes are kept aside
as a workspace.

Exit status: the command's own; 128+N if signal N ended it; 127 if it was not
found, 126 if it could not be executed, 125 if Ringwall itself failed.`,
		Example: `  ringwall run -- make test
  ringwall run --project ~/src/app --share ~/.cache/go-build -- go test ./...
  ringwall run --project none -- python3 -c 'print(6 * 7)'
  ringwall run --discard --export changes.tar -- ./agent.sh`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(c *cobra.Command, args []string) error {
			s, err := f.run(c.Context(), args)
			*status = s
			return err
		},
	}
	fl := c.Flags()
	fl.SetInterspersed(false) // what follows the command belongs to it
	fl.StringVar(&f.project, "project", "", "show `DIR` copy-on-write (default the current directory); none shows no project")
	fl.StringVar(&f.rootfs, "rootfs", "", "show `DIR` read-only as the root file system, in place of the host's system directories")
	fl.StringArrayVar(&f.env, "env", nil, "pass your variable `K`, or set K=V; repeatable")
	fl.StringArrayVar(&f.ro, "ro", nil, "show `PATH` read-only at its own place; repeatable")
	fl.StringArrayVar(&f.share, "share", nil, "show `DIR` with writes that are thrown away, for tool caches; repeatable")
	fl.StringArrayVar(&f.rw, "rw", nil, "show `PATH` with writes that go through to it at once; repeatable. Outside the\nproject it takes a terminal or --unsafe")
	fl.StringArrayVar(&f.show, "show", nil, "show the key-like file `PATH` of the project, which is hidden by default;\nrepeatable")
	fl.StringVar(&f.user, "user", "", "run as `UID[:GID]` inside, or as root (default the project's owner)")
	fl.BoolVar(&f.userNS, "allow-userns", false, "let the command make user namespaces, as browsers do for their own sandbox;\nweakens syscalls-filtered, takes a terminal or --unsafe")
	fl.StringVar(&f.memory, "memory", "", "let the command use at most `SIZE` of memory, such as 512M or 8G; refused where\nthat cannot be kept (default 4G or half of the host's, where it can)")
	fl.IntVar(&f.pids, "pids", 0, "let the command have at most `N` processes and threads (default 1024)")
	fl.BoolVar(&f.discard, "discard", false, "throw the changes away after listing them")
	fl.StringVar(&f.export, "export", "", "write the changes as a tar to `FILE`, or to standard output if -")
	fl.StringVar(&f.result, "result", "", "write how the run ended as JSON to `FILE`, or to descriptor N if fd:N")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "print every step with its time")
	fl.StringVar(&f.backend, "backend", ns.Name, "isolate with `NAME`: ns, or host (no isolation, takes --unsafe)")
	fl.BoolVar(&f.unsafe, "unsafe", false, "allow what is dangerous, without a terminal too")
	c.MarkFlagDirname("project")
	c.MarkFlagDirname("share")
	c.MarkFlagDirname("rootfs")
	c.RegisterFlagCompletionFunc("backend", cobra.FixedCompletions([]string{ns.Name, engine.HostBackend}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// run carries out `ringwall run` and returns the exit status. An error that it
// returns has not been printed.
func (f *runFlags) run(ctx context.Context, args []string) (status int, err error) {
	began := time.Now()
	report, err := openReport(f.result)
	if err != nil {
		return 0, err
	}
	defer func() {
		if e := report.close(); e != nil {
			err = errors.Join(err, e)
		}
	}()
	res, err := f.inEngine(ctx, args)
	if err != nil {
		report.write(res, max(sandbox.ExitStatus(err), 125), err)
		f.summary(res)
		return 0, err
	}
	status = res.Exit.Status()
	report.write(res, status, nil)
	f.summary(res)
	if f.verbose {
		ui.PaletteFor(os.Stderr).Step(os.Stderr, "host", "total", time.Since(began))
	}
	return status, nil
}

func (f *runFlags) inEngine(ctx context.Context, args []string) (res engine.Result, err error) {
	req := engine.Request{Backend: f.backend, Unsafe: f.unsafe, Person: ui.IsTerminal(os.Stdin) && ui.IsTerminal(os.Stderr),
		Root: f.rootfs, Project: f.project, User: f.user, UserNS: f.userNS, Show: f.show, Env: f.env, Discard: f.discard,
		Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if req.Limits, err = f.limits(); err != nil {
		return res, err
	}
	for _, p := range f.ro {
		req.Mounts = append(req.Mounts, sandbox.Mount{Source: p, Mode: sandbox.MountReadOnly})
	}
	for _, p := range f.share {
		req.Mounts = append(req.Mounts, sandbox.Mount{Source: p, Mode: sandbox.MountThrowAway})
	}
	for _, p := range f.rw {
		req.Mounts = append(req.Mounts, sandbox.Mount{Source: p, Mode: sandbox.MountReadWrite})
	}
	if f.verbose {
		p := ui.PaletteFor(os.Stderr)
		req.Trace = func(s sandbox.Step) { p.Step(os.Stderr, s.Where, s.Name, s.Took) }
	}
	switch f.export {
	case "":
	case "-":
		// One stream cannot carry both: the program's output goes where ours does.
		req.Export, req.Stdout = os.Stdout, os.Stderr
	default:
		out, e := newAtomicFile(f.export)
		if e != nil {
			return res, e
		}
		req.Export = out
		defer func() { err = errors.Join(err, out.finish(err == nil)) }()
	}
	eng, err := newEngine()
	if err != nil {
		return res, err
	}
	// By default a write to a closed standard output or error ends the process there and
	// then, with the sandbox half gone. Caught, it is an error of that write. It is not
	// ignored instead: that would be inherited by the program.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals := make(chan os.Signal, 8)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(sig) { // by nohup(1), or a shell that started us in the background
			signal.Notify(signals, sig)
		}
	}
	defer signal.Stop(signals)
	req.Signals = signals
	return eng.Run(ctx, req)
}

// mostChanges is how many changes the summary lists.
const mostChanges = 20

// summary says what was refused and what was changed; nothing if nothing was.
func (f *runFlags) summary(res engine.Result) {
	p := ui.PaletteFor(os.Stderr)
	if res.Exit.Reason == sandbox.ReasonOOM {
		p.Note(os.Stderr, "the sandbox used up its memory, "+formatSize(res.Limits.MemoryBytes)+", and was killed", "--memory with a larger size")
	}
	if s := res.Stats; s != nil && s.PIDsHits > 0 {
		p.Note(os.Stderr, fmt.Sprintf("refused more than %d processes and threads", res.Limits.PIDs), "--pids with a larger number")
	}
	hidden(p, res.Hidden)
	denied(p, res.Denied)
	w := res.Workspace
	if w == nil {
		return
	}
	for i, c := range w.List {
		if i == mostChanges {
			fmt.Fprintf(os.Stderr, "… and %d more\n", len(w.List)-mostChanges)
			break
		}
		path := c.Path
		if c.Mode.IsDir() {
			path += "/"
		}
		p.Change(os.Stderr, byte(c.Kind), path)
	}
	if w.Kept {
		fmt.Fprintf(os.Stderr, "ringwall: the project is as it was; these changes are kept as workspace %s\n  in %s\n", w.ID, ui.Neutral(w.Dir))
	} else {
		fmt.Fprintln(os.Stderr, "ringwall: the project is as it was; these changes are thrown away")
	}
}

// mostHidden is how many hidden files the summary names.
const mostHidden = 5

// hidden says which key-like files the command found empty.
func hidden(p ui.Palette, all []keyfiles.Found) {
	if len(all) == 0 {
		return
	}
	var names []string
	for i, f := range all {
		if i == mostHidden {
			names = append(names, fmt.Sprintf("%d more", len(all)-mostHidden))
			break
		}
		names = append(names, ui.Neutral(f.Path))
	}
	fmt.Fprintf(os.Stderr, "%s hidden, as they look like keys: %s\n", p.Prefix(), strings.Join(names, ", "))
}

// mostDenied is how many refusals the summary lists.
const mostDenied = 5

// denied says what the sandbox refused, by whom it was tried and what would allow it.
func denied(p ui.Palette, all []sandbox.Denial) {
	for i, d := range all {
		if i == mostDenied {
			fmt.Fprintf(os.Stderr, "ringwall: … and %d more\n", len(all)-mostDenied)
			break
		}
		what := d.Call
		if d.Detail != "" {
			what += "(" + d.Detail + ")"
		}
		by := ""
		if d.Program != "" {
			by = " by " + ui.Neutral(d.Program)
		}
		times := ""
		if d.Count > 1 {
			times = fmt.Sprintf(", %d times", d.Count)
		}
		p.Note(os.Stderr, "refused "+what+by+times, d.Hint)
	}
}

// atomicFile appears under its name only once it is complete.
type atomicFile struct {
	*os.File
	name string
}

func newAtomicFile(name string) (*atomicFile, error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".ringwall-*")
	if err != nil {
		return nil, outputError(name, err)
	}
	return &atomicFile{File: f, name: name}, nil
}

// finish puts the file in its place, or removes it.
func (a *atomicFile) finish(complete bool) error {
	err := a.Close()
	if err == nil && complete {
		umask := unix.Umask(0)
		unix.Umask(umask)
		if err = os.Chmod(a.File.Name(), 0o666&^os.FileMode(umask)); err == nil {
			err = os.Rename(a.File.Name(), a.name)
		}
	}
	if err != nil || !complete {
		os.Remove(a.File.Name())
	}
	return outputError(a.name, err)
}

func outputError(name string, err error) error {
	if err == nil {
		return nil
	}
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return &sandbox.Error{Code: sandbox.CodeDenied, Op: "run", Err: fmt.Errorf("cannot write %s: %w", name, err),
		Hint: "name a file in a directory that exists and that you may write to"}
}

// parseFD reads N of "fd:N".
func parseFD(s string) (fd int, ok bool, err error) {
	n, ok := strings.CutPrefix(s, "fd:")
	if !ok {
		return 0, false, nil
	}
	fd, err = strconv.Atoi(n)
	if err == nil && fd >= 0 {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	}
	if err != nil || fd < 0 {
		return 0, true, &sandbox.Error{Code: sandbox.CodeInvalid, Op: "run", Err: fmt.Errorf("--result %s: there is no such descriptor", s),
			Hint: "open it first, as in: ringwall run --result fd:3 3>result.json -- CMD"}
	}
	return fd, true, nil
}
