package ns

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/ringwall/ringwall/internal/backend/shared"
	"github.com/ringwall/ringwall/internal/guest/client"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// process is a program in a box.
type process struct {
	program *client.Program
	group   *group
	stdio   *shared.Stdio
	once    sync.Once // closes stdio
}

var _ sandbox.Process = (*process)(nil)

func (p *process) Wait(ctx context.Context) (sandbox.Exit, error) {
	select {
	case <-p.program.Ended():
	case <-ctx.Done():
		return sandbox.Exit{}, context.Cause(ctx)
	}
	if err := p.stdio.Wait(ctx); err != nil {
		return sandbox.Exit{}, err
	}
	p.release()
	m, wall, ok := p.program.Result()
	oom := (!ok || m.Signal == int(syscall.SIGKILL)) && p.group.ranOut()
	if !ok {
		if oom {
			return sandbox.Exit{Reason: sandbox.ReasonOOM, Usage: sandbox.Usage{Wall: wall}}, nil
		}
		return sandbox.Exit{Reason: sandbox.ReasonLost, Usage: sandbox.Usage{Wall: wall}}, nil
	}
	e := sandbox.Exit{Reason: sandbox.ReasonExited, Code: m.Status, Usage: sandbox.Usage{Wall: wall,
		User: time.Duration(m.UserNS), System: time.Duration(m.SystemNS), MaxRSS: m.MaxRSS}}
	if m.Signal != 0 {
		e.Reason, e.Code, e.Signal = sandbox.ReasonSignaled, 0, syscall.Signal(m.Signal)
	}
	if oom {
		e.Reason, e.Signal = sandbox.ReasonOOM, 0
	}
	return e, nil
}

func (p *process) Signal(_ context.Context, sig os.Signal) error {
	s, ok := sig.(syscall.Signal)
	if !ok {
		return &sandbox.Error{Code: sandbox.CodeInvalid, Op: "signal", Backend: Name, Err: fmt.Errorf("signal %v is none of Linux", sig)}
	}
	return p.program.Signal(s)
}

// release gives back the descriptors. What the program wrote is delivered first.
func (p *process) release() { p.once.Do(p.stdio.Close) }
