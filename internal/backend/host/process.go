package host

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/ringwall/ringwall/internal/backend/shared"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// process is a child of ours.
type process struct {
	stdio *shared.Stdio
	begun time.Time
	pid   int
	ended chan struct{}
	once  sync.Once // closes stdio

	mu   sync.Mutex
	done bool // reaped: the pid may be another's
	exit sandbox.Exit
}

var _ sandbox.Process = (*process)(nil)

// reap waits for the child and notes how it ended.
func (p *process) reap() {
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for {
		if _, err := syscall.Wait4(p.pid, &status, 0, &usage); err != syscall.EINTR {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
	p.exit = sandbox.Exit{Reason: sandbox.ReasonExited, Code: status.ExitStatus(), Usage: sandbox.Usage{Wall: time.Since(p.begun),
		User: time.Duration(usage.Utime.Nano()), System: time.Duration(usage.Stime.Nano()), MaxRSS: usage.Maxrss << 10}}
	if status.Signaled() {
		p.exit.Reason, p.exit.Code, p.exit.Signal = sandbox.ReasonSignaled, 0, status.Signal()
	}
	close(p.ended)
}

func (p *process) Wait(ctx context.Context) (sandbox.Exit, error) {
	select {
	case <-p.ended:
	case <-ctx.Done():
		return sandbox.Exit{}, context.Cause(ctx)
	}
	if err := p.stdio.Wait(ctx); err != nil {
		return sandbox.Exit{}, err
	}
	p.release()
	return p.exit, nil
}

func (p *process) Signal(_ context.Context, sig os.Signal) error {
	s, ok := sig.(syscall.Signal)
	if !ok {
		return &sandbox.Error{Code: sandbox.CodeInvalid, Op: "signal", Backend: Name, Err: fmt.Errorf("signal %v is none of Linux", sig)}
	}
	p.signal(s)
	return nil
}

// signal reaches the process group that the program leads.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.done {
		syscall.Kill(-p.pid, s)
	}
}

// release gives back the descriptors. What the program wrote is delivered first.
func (p *process) release() { p.once.Do(p.stdio.Close) }
