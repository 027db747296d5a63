package conformance

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/rundir"
	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/testenv"
)

// newSession returns a fixture whose sandbox outlives whoever makes it. Its records are
// where other instances of the backend look for them.
func newSession(t *testing.T, target Target) *fixture {
	f := newFixture(t, target, target.New(t))
	root, err := rundir.Open(target.RuntimeDir)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := root.Create(rundir.Record{ID: f.spec.ID, Backend: target.Name, Project: f.project, Command: []string{"probe"}, Owner: os.Getpid(), Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	f.spec.Life, f.spec.Dir, f.spec.Own = sandbox.LifeSession, dir.Path(), dir.Own
	f.spec.Hold = func() ([]*os.File, error) { return []*os.File{dir.Lock(), f.work.Lock()}, nil }
	t.Cleanup(func() {
		dir.Release()
		dead, err := root.Dead(0)
		if err != nil {
			t.Error(err)
		}
		for _, d := range dead {
			if err := d.Remove(); err != nil {
				t.Error(err)
			}
		}
		if left, err := root.List(); err != nil || len(left) > 0 {
			t.Errorf("left behind: %+v, %v", left, err)
		}
	})
	return f
}

// keeperPID returns the process that keeps the fixture's sandbox.
func (f *fixture) keeperPID() int {
	f.Helper()
	pids := hostPIDs("ringwall-keeper\x00" + f.spec.ID)
	if len(pids) != 1 {
		f.Fatalf("keepers: %v", pids)
	}
	pid, err := strconv.Atoi(pids[0])
	if err != nil {
		f.Fatal(err)
	}
	return pid
}

// again reaches the sandbox through a new instance of the backend.
func (f *fixture) again() *fixture {
	f.Helper()
	g := &fixture{T: f.T, target: f.target, backend: f.target.New(f.T), ctx: f.ctx, dir: f.dir, project: f.project, probe: f.probe, spec: f.spec, work: f.work}
	refs, err := g.backend.List(f.ctx)
	i := slices.IndexFunc(refs, func(r sandbox.Ref) bool { return r.ID == f.spec.ID })
	if err != nil || i < 0 {
		f.Fatalf("List: %+v, %v", refs, err)
	}
	f.want("what List and Ref say", refs[i].ID+string(refs[i].Data), f.box.Ref().ID+string(f.box.Ref().Data))
	box, err := g.backend.Attach(f.ctx, refs[i])
	if err != nil {
		f.Fatalf("Attach: %v", err)
	}
	f.Cleanup(func() { box.(sandbox.Detacher).Detach() })
	g.box = box
	g.boxOnce.Do(func() {})
	return g
}

// sessionCases check sandboxes that outlive their creator.
var sessionCases = []testCase{
	{"used and destroyed", func(f *fixture) {
		testenv.Leaks(f.T)
		o := f.run(f.cmd("args", "a", "b c", ""))
		f.want("output", o.stdout, "[\"a\" \"b c\" \"\"]\n")
		f.want("exit", f.wait(f.start(f.cmd("exit", "7"))).Code, 7)
		f.want("signal", f.wait(f.start(f.cmd("signal", "15"))).Signal, syscall.SIGTERM)
		f.fails(sandbox.Cmd{Args: []string{"no-such-program"}, Env: []string{"PATH=/usr/bin"}, Dir: f.project}, sandbox.CodeCommandNotFound)
		p := f.start(f.cmd("sleep"))
		if err := p.Signal(f.ctx, syscall.SIGKILL); err != nil {
			f.Fatal(err)
		}
		f.want("killed", f.wait(p).Signal, syscall.SIGKILL)
		for range 2 {
			if err := f.sandbox().Destroy(context.Background()); err != nil {
				f.Fatal(err)
			}
		}
		f.fails(f.cmd("exit", "0"), sandbox.CodeConflict)
	}},
	{"input and output", func(f *fixture) {
		c := f.cmd("cat")
		r, w, err := os.Pipe()
		if err != nil {
			f.Fatal(err)
		}
		c.Stdin = r
		text := strings.Repeat("0123456789", 100_000)
		go func() { w.WriteString(text); w.Close() }()
		o := f.run(c)
		r.Close()
		f.want("output", o.stdout == text, true)
		c = f.cmd("cat")
		if c.Stdin, err = os.Open(f.project); err != nil {
			f.Fatal(err)
		}
		defer c.Stdin.Close()
		f.fails(c, sandbox.CodeInvalid) // a directory
	}},
	{"attached to by another instance", func(f *fixture) {
		f.ok("write", filepath.Join(f.project, "one"), "1")
		g := f.again()
		f.want("what the other wrote", g.ok("read", filepath.Join(f.project, "one")), "1")
		g.ok("write", filepath.Join(f.project, "two"), "2")
		f.want("what the other wrote", f.ok("read", filepath.Join(f.project, "two")), "2")
		p := g.start(g.cmd("sleep"))
		if err := f.sandbox().Destroy(context.Background()); err != nil {
			f.Fatal(err)
		}
		f.want("reason", g.wait(p).Reason == sandbox.ReasonLost || g.wait(p).Reason == sandbox.ReasonSignaled, true)
		g.fails(g.cmd("exit", "0"), sandbox.CodeLost)
		if err := g.box.Destroy(context.Background()); err != nil {
			f.Error("Destroy of what is destroyed:", err)
		}
		_, err := g.backend.Attach(f.ctx, f.box.Ref())
		f.want("class of Attach", sandbox.CodeOf(err), sandbox.CodeNotFound)
	}},
	{"programs run on when they are let go", func(f *fixture) {
		word := "runs-on-" + f.spec.ID
		f.sandbox()
		g := f.again()
		g.start(g.cmd("say", word))
		f.eventually("the program's start", func() bool { return len(hostPIDs(word)) > 0 })
		for range 2 {
			if err := g.box.(sandbox.Detacher).Detach(); err != nil {
				f.Fatal(err)
			}
		}
		f.want("status", f.wait(f.start(f.cmd("exit", "3"))).Code, 3)
		f.want("programs", len(hostPIDs(word)) > 0, true)
		if err := f.sandbox().Destroy(context.Background()); err != nil {
			f.Fatal(err)
		}
		f.want("programs left", len(hostPIDs(word)), 0)
	}},
	{"what it was refused and what it used", func(f *fixture) {
		if !slices.Contains(f.backend.Info().Features, sandbox.FeatureDenials) {
			f.Skip("this backend tells of no refusals")
		}
		f.run(f.cmd("attack-calls"))
		denied := f.sandbox().(sandbox.DenialLister).Denied()
		f.want("refusals", len(denied) > 0, true)
		stats, err := f.sandbox().(sandbox.Statser).Stats()
		if err != nil {
			f.want("class", sandbox.CodeOf(err), sandbox.CodeUnsupported)
		} else {
			f.want("CPU time", stats.CPU > 0, true)
		}
		if err := f.sandbox().Destroy(context.Background()); err != nil {
			f.Fatal(err)
		}
		f.want("refusals afterwards", len(f.sandbox().(sandbox.DenialLister).Denied()), len(denied))
	}},
	{"keeper killed", func(f *fixture) {
		testenv.Leaks(f.T)
		word := "orphan-" + f.spec.ID
		p := f.start(f.cmd("say", word))
		f.eventually("the program's start", func() bool { return len(hostPIDs(word)) > 0 })
		if err := syscall.Kill(f.keeperPID(), syscall.SIGKILL); err != nil {
			f.Fatal(err)
		}
		f.want("reason", f.wait(p).Reason, sandbox.ReasonLost)
		f.fails(f.cmd("exit", "0"), sandbox.CodeLost)
		f.eventually("the programs' end", func() bool { return len(hostPIDs(word)) == 0 })
		_, err := f.backend.Attach(f.ctx, f.box.Ref())
		f.want("class of Attach", sandbox.CodeOf(err), sandbox.CodeLost)
		if err := f.box.Destroy(context.Background()); err != nil {
			f.Error(err)
		}
		f.cleanRecorded()
	}},
	{"keeper told to end", func(f *fixture) {
		testenv.Leaks(f.T)
		word := "ended-" + f.spec.ID
		f.start(f.cmd("say", word))
		f.eventually("the program's start", func() bool { return len(hostPIDs(word)) > 0 })
		if err := syscall.Kill(f.keeperPID(), syscall.SIGTERM); err != nil {
			f.Fatal(err)
		}
		f.eventually("the keeper's end", func() bool { return len(hostPIDs("ringwall-keeper\x00"+f.spec.ID)) == 0 })
		f.want("programs left", len(hostPIDs(word)), 0)
		_, err := os.Lstat(filepath.Join(f.spec.Dir, "control"))
		f.want("its socket is gone", os.IsNotExist(err), true)
	}},
	{"programs outlive nothing when the guest dies", func(f *fixture) {
		testenv.Leaks(f.T)
		word := "bereft-" + f.spec.ID
		f.start(f.cmd("say", word))
		f.eventually("the program's start", func() bool { return len(hostPIDs(word)) > 0 })
		guest, err := strconv.Atoi(statusLine(f, "/proc/"+hostPIDs(word)[0], "PPid"))
		if err != nil {
			f.Fatal(err)
		}
		if err := syscall.Kill(guest, syscall.SIGKILL); err != nil {
			f.Fatal(err)
		}
		f.eventually("the keeper's end", func() bool { return len(hostPIDs("ringwall-keeper\x00"+f.spec.ID)) == 0 })
		f.want("programs left", len(hostPIDs(word)), 0)
	}},
	{"creation that fails", func(f *fixture) {
		testenv.Leaks(f.T)
		f.spec.Project = filepath.Join(f.dir, "gone")
		if _, err := f.backend.Create(f.ctx, f.spec); err == nil || sandbox.CodeOf(err) == "" {
			f.Errorf("a sandbox on a project that does not exist: %v", err)
		}
	}},
	{"creation given up", func(f *fixture) {
		testenv.Leaks(f.T)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := f.backend.Create(ctx, f.spec); err == nil {
			f.Error("a sandbox that nobody wanted")
		}
		f.want("keepers", len(hostPIDs("ringwall-keeper\x00"+f.spec.ID)), 0)
	}},
	{"not kept, not attached to", func(f *fixture) {
		f.spec.Life = sandbox.LifeCommand
		f.sandbox()
		_, err := f.target.New(f.T).Attach(f.ctx, f.box.Ref())
		f.want("class", sandbox.CodeOf(err), sandbox.CodeUnsupported)
		_, err = f.backend.Attach(f.ctx, sandbox.Ref{Backend: f.target.Name, ID: sandbox.NewID(), Version: 1})
		f.want("class", sandbox.CodeOf(err), sandbox.CodeNotFound)
		_, err = f.backend.Attach(f.ctx, sandbox.Ref{Backend: f.target.Name, ID: "../../../etc", Version: 1})
		f.want("class", sandbox.CodeOf(err), sandbox.CodeInvalid)
	}},
	{"locked while it lives", func(f *fixture) {
		f.sandbox()
		root, err := rundir.Open(f.target.RuntimeDir)
		if err != nil {
			f.Fatal(err)
		}
		// The creator's own copies are closed, as if it had ended.
		locks, err := f.spec.Hold()
		if err != nil {
			f.Fatal(err)
		}
		locks[0].Close()
		if dead, err := root.Dead(0); err != nil || len(dead) > 0 {
			f.Errorf("taken for dead: %v, %v", dead, err)
		}
		g := f.again()
		f.want("status", g.wait(g.start(g.cmd("exit", "4"))).Code, 4)
		if err := g.box.Destroy(context.Background()); err != nil {
			f.Fatal(err)
		}
		dead, err := root.Dead(0)
		if err != nil || len(dead) != 1 {
			f.Fatalf("dead after Destroy: %v, %v", dead, err)
		}
		for _, d := range dead {
			d.Release()
		}
	}},
	{"features are declared and there", func(f *fixture) {
		_, lets := sandbox.As[sandbox.Detacher](f.sandbox())
		f.want("reattach implemented", lets, true)
	}},
}

// cleanRecorded does what a cleaner does with the records of a sandbox that died.
func (f *fixture) cleanRecorded() {
	f.Helper()
	f.eventually("an empty control group", func() bool {
		for _, line := range strings.Split(f.recorded(), "\n") {
			if _, path, ok := strings.Cut(line, `"kind":"cgroup","name":"`); ok {
				path, _, _ = strings.Cut(path, `"`)
				if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
					return false
				}
			}
		}
		return true
	})
}

func (f *fixture) recorded() string {
	f.Helper()
	raw, err := os.ReadFile(filepath.Join(f.spec.Dir, "sandbox"))
	if err != nil {
		f.Fatal(err)
	}
	return string(raw)
}
