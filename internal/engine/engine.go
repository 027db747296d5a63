// Package engine is the only package that acts: it turns a request into a sandbox, a
// running program and, afterwards, nothing left behind but the changes.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/ringwall/ringwall/internal/host"
	"github.com/ringwall/ringwall/internal/keyfiles"
	"github.com/ringwall/ringwall/internal/linux/memory"
	"github.com/ringwall/ringwall/internal/rundir"
	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/workspace"
)

// Engine runs programs in sandboxes on behalf of one user.
type Engine struct {
	caller   sandbox.User
	dirs     host.Dirs
	backends []sandbox.Backend
}

// New returns an Engine that keeps its records in dirs.
func New(caller sandbox.User, dirs host.Dirs, backends []sandbox.Backend) *Engine {
	return &Engine{caller: caller, dirs: dirs, backends: backends}
}

// Request says what to run and how.
type Request struct {
	Backend string
	Unsafe  bool     // allow what takes a person's word
	Person  bool     // a person asks, at a terminal
	Root    string   // directory that is shown as the root file system; "" shows the host's own
	Project string   // directory, "" for the current one, or NoProject
	User    string   // "root", "UID" or "UID:GID"; "" leaves it to the backend
	Env     []string // "K" or "K=V", on top of what is built
	Mounts  []sandbox.Mount
	Show    []string // key-like files of the project that are not hidden
	UserNS  bool     // let programs make user namespaces
	Limits  sandbox.Limits
	Discard bool      // throw the changes away
	Export  io.Writer // takes the changes as a tar; nil: no export
	Args    []string

	Stdin, Stdout, Stderr *os.File
	Signals               <-chan os.Signal // are passed on to the program

	Trace func(sandbox.Step)
}

// Result is what became of a run.
type Result struct {
	ID        string
	Backend   string
	Exit      sandbox.Exit
	Limits    sandbox.Limits   // what it was held to, where this host can
	Stats     *sandbox.Stats   // of the sandbox as a whole; nil where the host does not count
	Workspace *Changes         // nil if nothing was changed
	Hidden    []keyfiles.Found // what of the project was not shown
	Denied    []sandbox.Denial
	Weakened  []sandbox.Guarantee // what the request gave up
}

// Changes are what the program changed in the project.
type Changes struct {
	ID   string // of the workspace
	Dir  string // where on the host the changes lie, if they are kept
	Kept bool
	List []workspace.Change
}

// Run runs one program in a sandbox of its own and returns how it ended. An error is
// a failure of ours or a request that cannot be met; nothing is left behind then
// but a workspace with changes, which Result names.
func (e *Engine) Run(ctx context.Context, req Request) (Result, error) {
	r := &run{Engine: e, req: req, last: time.Now()}
	err := r.do(ctx)
	return r.result, err
}

// HostBackend is the name of the backend that isolates nothing.
const HostBackend = "host"

// run is one Run on its way through the states.
type run struct {
	*Engine
	req    Request
	state  state
	undo   undo
	result Result
	last   time.Time

	backend sandbox.Backend
	spec    sandbox.Spec
	cmd     sandbox.Cmd
	show    []string // paths of key-like files that are not hidden
	dir     *rundir.Dir
	work    *workspace.Workspace // nil if the request needs none
	box     sandbox.Sandbox
}

func (r *run) step(name string) {
	now := time.Now()
	if r.req.Trace != nil {
		r.req.Trace(sandbox.Step{Name: name, Where: "host", Took: now.Sub(r.last)})
	}
	r.last = now
}

func (r *run) do(ctx context.Context) (err error) {
	if err := r.prepare(); err != nil {
		return err
	}
	r.step("prepare")
	if err := r.state.move(creating); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.finish(err)) }()
	if err := r.record(); err != nil {
		return err
	}
	r.step("state")
	until, stop := r.untilSignal(ctx)
	r.hide(until)
	r.box, err = r.backend.Create(until, r.spec)
	if sig := stop(); sig != 0 {
		r.result.Exit = sandbox.Exit{Reason: sandbox.ReasonSignaled, Signal: sig}
		return nil
	}
	if err != nil {
		return err
	}
	r.step("create")
	if err := r.state.move(ready); err != nil {
		return err
	}
	process, err := r.box.Start(ctx, r.cmd)
	if err != nil {
		return r.withHint(err)
	}
	r.step("start")
	if err := r.state.move(running); err != nil {
		return err
	}
	r.result.Exit, err = r.await(ctx, process)
	if err != nil {
		return err
	}
	r.step("program")
	return r.state.move(exited)
}

// prepare checks the request. It changes nothing.
func (r *run) prepare() error {
	if len(r.req.Args) == 0 || r.req.Args[0] == "" {
		return &sandbox.Error{Code: sandbox.CodeInvalid, Op: "run", Err: errors.New("no command"),
			Hint: "name a program to run: ringwall run -- CMD [ARG...]"}
	}
	i := slices.IndexFunc(r.backends, func(b sandbox.Backend) bool { return b.Info().Name == r.req.Backend })
	if i < 0 {
		return &sandbox.Error{Code: sandbox.CodeInvalid, Op: "run", Err: fmt.Errorf("there is no backend %q", r.req.Backend),
			Hint: "choose one of: " + names(r.backends)}
	}
	r.backend = r.backends[i]
	if r.req.Backend == HostBackend && !r.req.Unsafe {
		return &sandbox.Error{Code: sandbox.CodeRefused, Op: "run", Err: errors.New("backend host isolates nothing: the program could do all that you can"),
			Hint: "leave out --backend, or add --unsafe if that is what you want"}
	}
	cwd, err := os.Getwd()
	if err != nil {
		return &sandbox.Error{Code: sandbox.CodeNotFound, Op: "run", Err: fmt.Errorf("the current directory: %w", err),
			Hint: "change to a directory that exists"}
	}
	p := places{cwd: cwd, home: r.hostHome(), wall: []string{r.dirs.Runtime, r.dirs.State}, runtime: userRuntime(), hostRO: host.SystemDirs}
	r.spec = sandbox.Spec{ID: sandbox.NewID(), User: r.caller, Limits: r.req.Limits, Trace: r.req.Trace}
	var inside string
	if r.spec.Project, inside, err = p.project(r.req.Project); err != nil {
		return err
	}
	if inside == "" {
		inside = r.caller.Home
	}
	if r.spec.Root, err = p.root(r.req.Root, r.spec.Project); err != nil {
		return err
	}
	if r.spec.Mounts, err = p.mounts(r.req.Mounts); err != nil {
		return err
	}
	if r.spec.As, err = parseUser(r.req.User); err != nil {
		return err
	}
	if r.show, err = p.show(r.spec.Project, r.req.Show); err != nil {
		return err
	}
	if r.spec.AllowUserNS = r.req.UserNS; r.req.UserNS {
		r.result.Weakened = append(r.result.Weakened, sandbox.SyscallsFiltered)
	}
	if err := r.granted(); err != nil {
		return err
	}
	for _, m := range r.spec.Mounts {
		if m.Source == r.spec.Project && m.Mode == sandbox.MountThrowAway {
			return &sandbox.Error{Code: sandbox.CodeInvalid, Op: "run", Err: fmt.Errorf("--share %s is the project itself", m.Source),
				Hint: "its changes are kept aside anyway; use --discard to throw them away"}
		}
		if m.Source == r.spec.Project && m.Mode == sandbox.MountReadWrite {
			return &sandbox.Error{Code: sandbox.CodeRefused, Op: "run", Err: fmt.Errorf("--rw %s is the project itself: nothing would be kept aside for you to look at", m.Source),
				Hint: "name the one directory in it that should change at once, such as a build directory"}
		}
	}
	env, err := environment(os.Environ(), r.caller, r.spec.Root != "", r.req.Env)
	if err != nil {
		return err
	}
	r.cmd = sandbox.Cmd{Args: r.req.Args, Env: env, Dir: inside,
		Stdin: r.req.Stdin, Stdout: r.req.Stdout, Stderr: r.req.Stderr}
	r.result.ID, r.result.Backend, r.result.Limits = r.spec.ID, r.req.Backend, r.spec.Limits.OrDefault(memory.Total())
	return nil
}

// untilSignal returns a context that ends when a signal comes, so that Ctrl-C need not
// wait for the search of a large project. stop ends that, and returns the signal: the
// run is then over before its program began. Later signals are the program's.
func (r *run) untilSignal(ctx context.Context) (until context.Context, stop func() syscall.Signal) {
	until, cancel := context.WithCancel(ctx)
	quit, done := make(chan struct{}), make(chan struct{})
	var got syscall.Signal
	go func() {
		defer close(done)
		select {
		case sig := <-r.req.Signals:
			got, _ = sig.(syscall.Signal)
			cancel()
		case <-quit:
		}
	}()
	return until, func() syscall.Signal {
		close(quit)
		<-done
		cancel()
		return got
	}
}

// hostHome is the home that the caller has on the host.
func (r *run) hostHome() string {
	if home, _, err := resolve("/", os.Getenv("HOME")); err == nil && os.Getenv("HOME") != "" {
		return home
	}
	if home, _, err := resolve("/", r.caller.Home); err == nil {
		return home
	}
	return r.caller.Home
}

// userRuntime is the directory of the user's own services.
func userRuntime() string {
	dir, _, err := resolve("/", os.Getenv("XDG_RUNTIME_DIR"))
	if err != nil || dir == "/" {
		return ""
	}
	return dir
}

func names(backends []sandbox.Backend) string {
	s := ""
	for i, b := range backends {
		if i > 0 {
			s += ", "
		}
		s += b.Info().Name
	}
	return s
}

// record makes the sandbox's directory and prepares its workspace. Each is written down
// before it is made, so that the next run or `gc` finds it should this process be killed.
func (r *run) record() error {
	root, err := rundir.Open(r.dirs.Runtime)
	if err != nil {
		return stateError(err)
	}
	r.cleanOne(root)
	r.dir, err = root.Create(rundir.Record{ID: r.spec.ID, Backend: r.req.Backend, Project: r.spec.Project,
		Command: r.req.Args, Owner: os.Getpid(), Started: time.Now()})
	if err != nil {
		return stateError(err)
	}
	r.undo.add(r.dir.Remove)
	r.spec.Dir, r.spec.Own = r.dir.Path(), r.dir.Own

	create := workspace.Create{ID: sandbox.NewID(), Project: r.spec.Project, Command: r.req.Args, Shares: map[int]string{}}
	for i, m := range r.spec.Mounts {
		if m.Mode == sandbox.MountThrowAway {
			create.Shares[i] = m.Source
		}
	}
	if create.Project == "" && len(create.Shares) == 0 {
		return nil
	}
	store, err := workspace.Open(r.dirs.State)
	if err != nil {
		return err
	}
	if err := r.dir.Own(sandbox.Resource{Kind: sandbox.ResourceWorkspace, Name: create.ID}); err != nil {
		return stateError(err)
	}
	r.spec.Layers = store.LayersDir(create.ID)
	r.spec.MakeLayers = func() (err error) {
		r.work, err = store.Create(create)
		return err
	}
	return nil
}

// await waits for the program and passes signals on to it.
func (r *run) await(ctx context.Context, p sandbox.Process) (sandbox.Exit, error) {
	type ended struct {
		exit sandbox.Exit
		err  error
	}
	done := make(chan ended, 1)
	go func() {
		exit, err := p.Wait(ctx)
		done <- ended{exit, err}
	}()
	for {
		select {
		case sig := <-r.req.Signals:
			if err := p.Signal(ctx, sig); err != nil {
				return sandbox.Exit{}, err
			}
		case d := <-done:
			return d.exit, d.err
		}
	}
}

// finish destroys the sandbox, settles the workspace and removes the records. failed
// is the error that ended the run early, if one did.
func (r *run) finish(failed error) error {
	if err := r.state.move(destroying); err != nil {
		return err
	}
	if r.box != nil {
		err := r.box.Destroy(context.Background())
		if d, ok := sandbox.As[sandbox.DenialLister](r.box); ok {
			r.result.Denied = d.Denied()
		}
		if s, ok := sandbox.As[sandbox.Statser](r.box); ok {
			if stats, err := s.Stats(); err == nil {
				r.result.Stats = &stats
			}
		}
		if err != nil {
			r.dir.Release() // what is left stays recorded, for gc
			if r.work != nil {
				r.work.Close()
			}
			return err
		}
		r.step("destroy")
	}
	err := r.settle(failed)
	r.step("workspace")
	err = errors.Join(err, r.undo.run())
	r.step("clean")
	return errors.Join(err, r.state.move(gone))
}

// settle decides what becomes of the workspace.
func (r *run) settle(failed error) error {
	if r.work == nil {
		return nil
	}
	defer r.work.Close()
	if r.spec.Project == "" {
		return r.work.Remove()
	}
	if empty, err := r.work.Empty(); err != nil || empty {
		if err == nil && failed == nil {
			err = r.export()
		}
		return errors.Join(err, r.work.Remove())
	}
	changes, err := r.work.Changes()
	if err != nil {
		return err // unreadable, and not thrown away: Recover or a person will look
	}
	if failed == nil {
		if err := r.export(); err != nil {
			// Nothing is thrown away that could not be delivered.
			r.result.Workspace = &Changes{ID: r.work.ID(), Dir: r.work.UpperDir(), Kept: true, List: changes}
			return errors.Join(err, r.work.Keep(changes))
		}
	}
	if len(changes) == 0 {
		return r.work.Remove()
	}
	r.result.Workspace = &Changes{ID: r.work.ID(), Dir: r.work.UpperDir(), Kept: !r.req.Discard, List: changes}
	if r.req.Discard {
		return r.work.Remove()
	}
	return r.work.Keep(changes)
}

func (r *run) export() error {
	if r.req.Export == nil {
		return nil
	}
	return r.work.Export(r.req.Export)
}
