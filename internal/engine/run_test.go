package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/workspace"
)

var errMock = errors.New("the mock says no")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// TestRun plays runs that end in every place where they can, and looks at what the
// engine asked of the backend and at what it left on disk.
func TestRun(t *testing.T) {
	change := map[string]string{"new": "x"}
	all := []string{"create", "start", "wait", "destroy"}
	for name, c := range map[string]struct {
		mock       *mock
		req        Request
		calls      []string
		err        error // is in the chain of what Run returns
		sandboxes  int   // records left
		workspaces int   // workspaces left
		changed    bool  // the result names changes
	}{
		"nothing changed":             {mock: &mock{}, calls: all},
		"changes are kept":            {mock: &mock{writes: change}, calls: all, workspaces: 1, changed: true},
		"changes are thrown away":     {mock: &mock{writes: change}, req: Request{Discard: true}, calls: all, changed: true},
		"exported, then thrown away":  {mock: &mock{writes: change}, req: Request{Discard: true, Export: &bytes.Buffer{}}, calls: all, changed: true},
		"not delivered, not thrown":   {mock: &mock{writes: change}, req: Request{Discard: true, Export: brokenWriter{}}, calls: all, err: syscall.EPIPE, workspaces: 1, changed: true},
		"no project":                  {mock: &mock{}, req: Request{Project: NoProject}, calls: all},
		"not created":                 {mock: &mock{create: errMock}, calls: []string{"create"}, err: errMock},
		"not started":                 {mock: &mock{start: errMock}, calls: []string{"create", "start", "destroy"}, err: errMock},
		"lost with its changes kept":  {mock: &mock{wait: errMock, writes: change}, calls: all, err: errMock, workspaces: 1, changed: true},
		"not destroyed stays on disk": {mock: &mock{destroy: errMock, writes: change}, calls: all, err: errMock, sandboxes: 1, workspaces: 1},
	} {
		t.Run(name, func(t *testing.T) {
			e, project := testEngine(t, c.mock)
			req := c.req
			req.Backend, req.Args = "mock", []string{"true"}
			if req.Project == "" {
				req.Project = project
			}
			res, err := e.Run(context.Background(), req)
			if !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
				t.Errorf("Run: %v, want %v", err, c.err)
			}
			if d := cmp.Diff(c.calls, c.mock.calls); d != "" {
				t.Errorf("calls -want +got:\n%s", d)
			}
			if c.err == nil && res.Exit.Status() != 7 {
				t.Errorf("status %d, want the program's 7", res.Exit.Status())
			}
			if (res.Workspace != nil) != c.changed {
				t.Errorf("result names changes: %+v, want %v", res.Workspace, c.changed)
			}
			if b, ok := c.req.Export.(*bytes.Buffer); ok && !strings.Contains(b.String(), "new") {
				t.Error("the export does not have the file that the program wrote")
			}
			testLeft(t, e, c.sandboxes, c.workspaces)
		})
	}
}

// testLeft checks how much is left on disk.
func testLeft(t *testing.T, e *Engine, sandboxes, workspaces int) {
	t.Helper()
	if left, err := e.List(); err != nil || len(left) != sandboxes {
		t.Errorf("sandboxes left: %+v, %v; want %d", left, err, sandboxes)
	}
	if left, err := e.Workspaces(); err != nil || len(left) != workspaces {
		t.Errorf("workspaces left: %+v, %v; want %d", left, err, workspaces)
	}
}

// Everything is written down before it is made: while the program runs, the record
// names the workspace, and whoever takes over finds it.
func TestGCTakesOverWhatWasNotDestroyed(t *testing.T) {
	m := &mock{destroy: errMock, writes: map[string]string{"new": "x"}}
	m.program = func(s sandbox.Spec) {
		// A pid that somebody else has by now, this test: it must survive the cleaning.
		reused := sandbox.Resource{Kind: sandbox.ResourceProcess, Name: strconv.Itoa(os.Getpid()), Start: 1}
		if err := s.Own(reused); err != nil {
			t.Error(err)
		}
	}
	e, project := testEngine(t, m)
	if _, err := e.Run(context.Background(), Request{Backend: "mock", Project: project, Args: []string{"true"}}); !errors.Is(err, errMock) {
		t.Fatal(err)
	}
	done, err := e.GC(context.Background())
	if err != nil || len(done.Sandboxes) != 1 || len(done.Workspaces) != 1 {
		t.Fatalf("GC = %+v, %v; want the sandbox removed and the workspace kept", done, err)
	}
	testLeft(t, e, 0, 1)
	if all, _ := e.Workspaces(); len(all) == 1 && (all[0].State != workspace.StateKept || all[0].Added != 1) {
		t.Errorf("workspace %+v, want it kept with one file added", all[0])
	}
	if again, err := e.GC(context.Background()); err != nil || len(again.Sandboxes)+len(again.Workspaces) != 0 {
		t.Errorf("second GC = %+v, %v; want nothing to do", again, err)
	}
}

func TestSignalsReachTheProgram(t *testing.T) {
	signals := make(chan os.Signal, 1)
	m := &mock{waits: true, program: func(sandbox.Spec) { signals <- syscall.SIGTERM }}
	e, project := testEngine(t, m)
	if _, err := e.Run(context.Background(), Request{Backend: "mock", Project: project, Args: []string{"true"}, Signals: signals}); err != nil {
		t.Fatal(err)
	}
	want := []string{"create", "start", "signal terminated", "wait", "destroy"}
	if d := cmp.Diff(want, m.calls); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// A signal that comes while the sandbox is made ends the run there: it need not wait for
// what takes long, and nothing is left.
func TestSignalBeforeTheProgram(t *testing.T) {
	m := &mock{hangs: true}
	e, project := testEngine(t, m)
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGINT
	res, err := e.Run(context.Background(), Request{Backend: "mock", Project: project, Args: []string{"true"}, Signals: signals})
	if err != nil || res.Exit.Status() != 130 {
		t.Errorf("status %d, %v; want 130", res.Exit.Status(), err)
	}
	if d := cmp.Diff([]string{"create"}, m.calls); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	testLeft(t, e, 0, 0)
}

// What is refused is refused before anything is made.
func TestRefusedBeforeAnythingIsMade(t *testing.T) {
	m := &mock{}
	e, project := testEngine(t, m)
	for _, req := range []Request{
		{Backend: "mock", Project: project},
		{Backend: "none such", Project: project, Args: []string{"true"}},
		{Backend: "mock", Project: "/", Args: []string{"true"}},
		{Backend: "mock", Project: project, Args: []string{"true"}, Env: []string{"=x"}},
		{Backend: "mock", Project: project, Args: []string{"true"}, Mounts: []sandbox.Mount{{Source: "/proc", Mode: sandbox.MountReadOnly}}},
	} {
		if _, err := e.Run(context.Background(), req); err == nil || sandbox.HintOf(err) == "" {
			t.Errorf("%+v: %v (hint %q)", req, err, sandbox.HintOf(err))
		}
	}
	if len(m.calls) != 0 {
		t.Errorf("the backend was asked: %v", m.calls)
	}
	testLeft(t, e, 0, 0)
}
