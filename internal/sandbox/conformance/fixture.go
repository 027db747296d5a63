package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/testenv"
	"github.com/ringwall/ringwall/internal/workspace"
)

// patience is how long a test waits for what must happen. It is no measurement.
const patience = 30 * time.Second

// fixture is a project and, once it is asked for, a sandbox on it.
type fixture struct {
	*testing.T
	target  Target
	backend sandbox.Backend
	ctx     context.Context

	dir     string // everything of this test
	project string
	probe   string
	spec    sandbox.Spec
	work    *workspace.Workspace

	boxOnce sync.Once
	box     sandbox.Sandbox
}

func newFixture(t *testing.T, target Target, b sandbox.Backend) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	t.Cleanup(cancel)
	f := &fixture{T: t, target: target, backend: b, ctx: ctx, dir: testenv.Dir(t)}
	f.probe = testenv.Build(t, "internal/sandbox/conformance/probe")
	f.project = filepath.Join(f.dir, "project")
	f.write("project/file", "text")
	store, err := workspace.Open(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	f.spec = sandbox.Spec{ID: sandbox.NewID(), Dir: f.dir, Project: f.project,
		User:   sandbox.User{UID: os.Geteuid(), GID: os.Getegid(), Name: "tester", Home: "/home/tester", GitName: "T", GitEmail: "t@example.org"},
		Mounts: []sandbox.Mount{{Source: f.probe, Mode: sandbox.MountReadOnly}}}
	f.work, err = store.Create(workspace.Create{ID: sandbox.NewID(), Project: f.project, Command: []string{"probe"},
		Shares: map[int]string{}})
	if err != nil {
		t.Fatal(err)
	}
	f.spec.Layers = f.work.LayersDir()
	t.Cleanup(func() {
		if err := f.work.Remove(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// write makes a file below the test's directory, open to every uid.
func (f *fixture) write(name, text string) string {
	f.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		f.Fatal(err)
	}
	return path
}

// mount adds a mount with layers of its own where it needs them.
func (f *fixture) mount(m sandbox.Mount) {
	f.Helper()
	if m.Mode == sandbox.MountThrowAway {
		f.Fatal("use share")
	}
	f.spec.Mounts = append(f.spec.Mounts, m)
}

// share adds a directory whose changes are thrown away.
func (f *fixture) share(dir string) {
	f.Helper()
	f.spec.Mounts = append(f.spec.Mounts, sandbox.Mount{Source: dir, Mode: sandbox.MountThrowAway})
	if err := f.work.Remove(); err != nil {
		f.Fatal(err)
	}
	store, err := workspace.Open(f.dir)
	if err == nil {
		f.work, err = store.Create(workspace.Create{ID: sandbox.NewID(), Project: f.project, Command: []string{"probe"},
			Shares: map[int]string{len(f.spec.Mounts) - 1: dir}})
	}
	if err != nil {
		f.Fatal(err)
	}
	f.spec.Layers = f.work.LayersDir()
}

// sandbox returns the fixture's sandbox, made at the first call.
func (f *fixture) sandbox() sandbox.Sandbox {
	f.Helper()
	f.boxOnce.Do(func() {
		box, err := f.backend.Create(f.ctx, f.spec)
		if err != nil {
			f.Fatalf("Create: %v (hint: %s)", err, sandbox.HintOf(err))
		}
		f.box = box
		f.Cleanup(func() {
			if err := box.Destroy(context.Background()); err != nil {
				f.Errorf("Destroy: %v", err)
			}
		})
	})
	return f.box
}

// cmd returns a command that runs the probe.
func (f *fixture) cmd(args ...string) sandbox.Cmd {
	return sandbox.Cmd{Args: append([]string{f.probe}, args...), Env: []string{"PATH=/usr/bin:/bin", "MARK=inside"}, Dir: f.project}
}

func (f *fixture) start(c sandbox.Cmd) sandbox.Process {
	f.Helper()
	p, err := f.sandbox().Start(f.ctx, c)
	if err != nil {
		f.Fatalf("Start %q: %v", c.Args, err)
	}
	return p
}

func (f *fixture) wait(p sandbox.Process) sandbox.Exit {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, patience)
	defer cancel()
	exit, err := p.Wait(ctx)
	if err != nil {
		f.Fatalf("Wait: %v", err)
	}
	return exit
}

// outcome is what a program printed and how it ended.
type outcome struct {
	stdout, stderr string
	exit           sandbox.Exit
}

// run runs a command to its end.
func (f *fixture) run(c sandbox.Cmd) outcome {
	f.Helper()
	var stdout, stderr bytes.Buffer
	closeOut, closeErr := f.collect(&c.Stdout, &stdout), f.collect(&c.Stderr, &stderr)
	p := f.start(c)
	exit := f.wait(p)
	closeOut()
	closeErr()
	return outcome{stdout.String(), stderr.String(), exit}
}

// collect makes *end a pipe and reads it into buf until the returned func is called.
func (f *fixture) collect(end **os.File, buf *bytes.Buffer) func() {
	f.Helper()
	if *end != nil {
		return func() {}
	}
	r, w, err := os.Pipe()
	if err != nil {
		f.Fatal(err)
	}
	*end = w
	done := make(chan struct{})
	go func() { io.Copy(buf, r); r.Close(); close(done) }()
	return func() { w.Close(); <-done }
}

// ok runs the probe and returns its output; it must succeed.
func (f *fixture) ok(args ...string) string {
	f.Helper()
	o := f.run(f.cmd(args...))
	if o.exit.Reason != sandbox.ReasonExited || o.exit.Code != 0 {
		f.Fatalf("probe %q: %+v\nstdout: %s\nstderr: %s", args, o.exit, o.stdout, o.stderr)
	}
	return o.stdout
}

// fails runs c, which cannot be started, and checks the class of the error.
func (f *fixture) fails(c sandbox.Cmd, want sandbox.Code) error {
	f.Helper()
	p, err := f.sandbox().Start(f.ctx, c)
	if err == nil {
		f.Fatalf("Start %q: %+v, want an error of class %s", c.Args, f.wait(p), want)
	}
	var e *sandbox.Error
	if !errors.As(err, &e) || e.Code != want {
		f.Fatalf("Start %q: %v of class %s, want %s", c.Args, err, sandbox.CodeOf(err), want)
	}
	return err
}

// want compares what a test saw with what it should have seen.
func (f *fixture) want(what string, got, want any) {
	f.Helper()
	if got != want {
		f.Errorf("%s: %v, want %v", what, got, want)
	}
}

// hostPIDs returns the host's processes that have word on their command line.
func hostPIDs(word string) (pids []string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), word) {
			pids = append(pids, filepath.Base(filepath.Dir(p)))
		}
	}
	return pids
}

// eventually waits until ok; it fails the test if that does not happen.
func (f *fixture) eventually(what string, ok func() bool) {
	f.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.Fatalf("%s did not happen", what)
		}
	}
}

// sig is a signal as Process.Signal takes it.
func sig(n int) os.Signal { return syscall.Signal(n) }
