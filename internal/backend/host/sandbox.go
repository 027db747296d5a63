package host

import (
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/backend/shared"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// box remembers what it started.
type box struct {
	id string

	mu        sync.Mutex
	started   []*process
	destroyed bool
}

var _ sandbox.Sandbox = (*box)(nil)

func (b *box) Ref() sandbox.Ref { return sandbox.Ref{Backend: Name, ID: b.id, Version: 1} }

func (b *box) Start(_ context.Context, c sandbox.Cmd) (sandbox.Process, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.destroyed {
		return nil, b.fail(sandbox.CodeConflict, errors.New("the sandbox has been destroyed"))
	}
	if len(c.Args) == 0 {
		return nil, b.fail(sandbox.CodeInvalid, errors.New("no command"))
	}
	if err := unix.Access(c.Dir, unix.X_OK); err != nil {
		return nil, b.fail(sandbox.CodeInvalid, &os.PathError{Op: "chdir", Path: c.Dir, Err: err})
	}
	path, err := lookUp(c)
	if err != nil {
		return nil, b.startError(c.Args[0], err)
	}
	stdio, err := shared.NewStdio(c)
	if err != nil {
		return nil, err
	}
	p, err := start(path, c, stdio)
	if err != nil {
		stdio.Close()
		return nil, b.startError(path, err)
	}
	b.started = append(b.started, p)
	return p, nil
}

func (b *box) fail(code sandbox.Code, err error) error {
	return &sandbox.Error{Code: code, Op: "start", Backend: Name, ID: b.id, Err: err}
}

func (b *box) startError(path string, err error) error {
	code := sandbox.CodeNotExecutable
	if _, e := os.Stat(path); errors.Is(err, unix.ENOTDIR) || e != nil && errors.Is(err, unix.ENOENT) {
		code = sandbox.CodeCommandNotFound
	}
	return b.fail(code, &os.PathError{Op: "exec", Path: path, Err: err})
}

// lookUp finds the program on the PATH of its own environment.
func lookUp(c sandbox.Cmd) (string, error) {
	name := c.Args[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	found := error(unix.ENOENT)
	for _, kv := range c.Env {
		path, ok := strings.CutPrefix(kv, "PATH=")
		for _, dir := range strings.Split(path, ":") {
			if !ok || dir == "" {
				continue
			}
			full := dir + "/" + name
			if info, err := os.Stat(full); err != nil || info.IsDir() {
				continue
			}
			if unix.Access(full, unix.X_OK) == nil {
				return full, nil
			}
			found = unix.EACCES
		}
	}
	return "", found
}

func start(path string, c sandbox.Cmd, stdio *shared.Stdio) (*process, error) {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	var files []uintptr
	for _, f := range stdio.Inner() {
		if f == nil {
			f = null
		}
		files = append(files, f.Fd())
	}
	// What our own caller left open is not the program's.
	if err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, err
	}
	p := &process{stdio: stdio, begun: time.Now(), ended: make(chan struct{})}
	p.pid, err = syscall.ForkExec(path, c.Args, &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return nil, err
	}
	stdio.Start()
	go p.reap()
	return p, nil
}

// Destroy kills the process groups of what was started. A program that has left its
// group and session survives: nothing on this rung can find it again.
func (b *box) Destroy(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.destroyed = true
	for _, p := range b.started {
		p.signal(syscall.SIGKILL)
		<-p.ended
		go p.release()
	}
	b.started = nil
	return nil
}
