package engine

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ringwall/ringwall/internal/host"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// mock is a backend that isolates nothing and runs nothing: it does what the test
// says and writes down what the engine asks of it.
type mock struct {
	create, start, wait, destroy error // what the calls answer

	writes  map[string]string // files that the program writes into the upper layer
	waits   bool              // Wait lasts until a signal comes
	hangs   bool              // Create lasts until it is given up
	program func(sandbox.Spec)

	mu    sync.Mutex
	calls []string
	spec  sandbox.Spec
	cmd   sandbox.Cmd
	sigs  chan os.Signal
}

func (m *mock) called(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, name)
}

func (m *mock) Info() sandbox.Info { return sandbox.Info{Name: "mock"} }

func (m *mock) Detect(context.Context) (sandbox.Report, error) {
	return sandbox.Report{Ready: true}, nil
}

// Create makes the layers before it fails, so that there is something to undo.
func (m *mock) Create(ctx context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
	m.called("create")
	m.spec = s
	if s.MakeLayers != nil {
		if err := s.MakeLayers(); err != nil {
			return nil, err
		}
	}
	if m.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if m.create != nil {
		return nil, m.create
	}
	return mockSandbox{m}, nil
}

func (m *mock) Attach(context.Context, sandbox.Ref) (sandbox.Sandbox, error) {
	return nil, &sandbox.Error{Code: sandbox.CodeUnsupported, Op: "attach", Err: os.ErrInvalid}
}

func (m *mock) List(context.Context) ([]sandbox.Ref, error) { return nil, nil }

type mockSandbox struct{ *mock }

func (s mockSandbox) Ref() sandbox.Ref { return sandbox.Ref{Backend: "mock", ID: s.spec.ID} }

func (s mockSandbox) Start(_ context.Context, c sandbox.Cmd) (sandbox.Process, error) {
	s.called("start")
	s.cmd = c
	if s.start != nil {
		return nil, s.start
	}
	for name, text := range s.writes {
		if err := os.WriteFile(filepath.Join(s.spec.Layers, sandbox.LayerUpper, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if s.program != nil {
		s.program(s.spec)
	}
	return mockProcess{s.mock}, nil
}

func (s mockSandbox) Destroy(context.Context) error {
	s.called("destroy")
	return s.destroy
}

type mockProcess struct{ *mock }

func (p mockProcess) Wait(context.Context) (sandbox.Exit, error) {
	if p.waits {
		<-p.sigs
	}
	p.called("wait")
	return sandbox.Exit{Reason: sandbox.ReasonExited, Code: 7}, p.wait
}

func (p mockProcess) Signal(_ context.Context, sig os.Signal) error {
	p.called("signal " + sig.String())
	p.sigs <- sig
	return nil
}

// testEngine returns an engine with directories of its own, and a project.
func testEngine(t *testing.T, m *mock) (*Engine, string) {
	t.Helper()
	m.sigs = make(chan os.Signal, 1)
	dir := t.TempDir()
	dirs := host.Dirs{Runtime: filepath.Join(dir, "run"), State: filepath.Join(dir, "state")}
	home, project := filepath.Join(dir, "home"), filepath.Join(dir, "project")
	for _, d := range []string{dirs.Runtime, dirs.State, home, project} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	u := sandbox.User{UID: os.Geteuid(), GID: os.Getegid(), Name: "user", Home: home}
	return New(u, dirs, []sandbox.Backend{m}), project
}
