package ns

import (
	"context"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/backend/shared"
	"github.com/ringwall/ringwall/internal/guest"
	"github.com/ringwall/ringwall/internal/guest/client"
	"github.com/ringwall/ringwall/internal/linux/pidfd"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// box is one sandbox: a guest in its namespaces.
type box struct {
	id     string
	client *client.Client
	ids    *idRange
	who    identity
	group  *group
	*denials

	mu        sync.Mutex
	pidfd     int // of the guest
	processes []*process
	destroyed bool
}

var (
	_ sandbox.Sandbox      = (*box)(nil)
	_ sandbox.DenialLister = (*box)(nil)
	_ sandbox.Statser      = (*box)(nil)
)

// Ended is closed when the guest has ended, for whatever reason.
func (b *box) Ended() <-chan struct{} { return b.client.Done() }

func (b *box) Ref() sandbox.Ref { return sandbox.Ref{Backend: Name, ID: b.id, Version: 1} }

func (b *box) Start(ctx context.Context, c sandbox.Cmd) (sandbox.Process, error) {
	b.mu.Lock()
	gone := b.destroyed
	b.mu.Unlock()
	if gone {
		return nil, b.fail(sandbox.CodeConflict, "", errors.New("the sandbox has been destroyed"), "")
	}
	if len(c.Args) == 0 {
		return nil, b.fail(sandbox.CodeInvalid, "", errors.New("no command"), "name a program to run")
	}
	stdio, err := shared.NewStdio(c)
	if err != nil {
		return nil, err
	}
	m := guest.Start{Args: c.Args, Env: c.Env, Dir: c.Dir}
	var fds []int
	for i, f := range stdio.Inner() {
		if m.Null[i] = f == nil; f != nil {
			fds = append(fds, int(f.Fd()))
			// A pipe belongs to who made it. A program that opens /dev/stdout opens it anew.
			if err := b.own(f); err != nil {
				stdio.Close()
				return nil, b.fail(sandbox.CodeInternal, "stdio", err, "")
			}
		}
	}
	program, err := b.client.Start(ctx, m, fds...)
	if err != nil {
		stdio.Close()
		return nil, b.startError(c, err)
	}
	stdio.Start()
	p := &process{program: program, stdio: stdio, group: b.group}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.processes = append(b.processes, p)
	return p, nil
}

// own gives f to the programs, where they are not who we are.
func (b *box) own(f *os.File) error {
	if !b.who.ranged {
		return nil
	}
	return f.Chown(b.who.uids.onHost(), b.who.gids.onHost())
}

func (b *box) fail(code sandbox.Code, step string, err error, hint string) error {
	return &sandbox.Error{Code: code, Op: "start", Backend: Name, ID: b.id, Step: step, Err: err, Hint: hint}
}

// startError says whose fault it is that a program could not be started.
func (b *box) startError(c sandbox.Cmd, err error) error {
	var f *client.Failure
	switch {
	case errors.As(err, &f) && f.Step == "find":
		return &sandbox.Error{Code: sandbox.CodeCommandNotFound, Op: "start", ID: b.id,
			Err: errors.New(c.Args[0] + ": command not found inside the sandbox")}
	case errors.As(err, &f) && f.Step == "exec" && errors.Is(f, unix.E2BIG):
		return &sandbox.Error{Code: sandbox.CodeNotExecutable, Op: "start", ID: b.id, Err: f,
			Hint: "shorten the arguments or the environment"}
	case errors.As(err, &f) && f.Step == "exec":
		return &sandbox.Error{Code: sandbox.CodeNotExecutable, Op: "start", ID: b.id, Err: f}
	case errors.As(err, &f) && f.Step == "chdir":
		return &sandbox.Error{Code: sandbox.CodeInvalid, Op: "start", ID: b.id, Err: f,
			Hint: "the working directory must exist inside the sandbox"}
	case errors.Is(err, client.ErrGone):
		return b.fail(sandbox.CodeLost, "", err, "")
	default:
		return b.fail(sandbox.CodeInternal, "", err, "")
	}
}

// Destroy kills the guest. The kernel ends every process of its PID namespace before
// the guest counts as ended, and with the last of them go the namespaces and all
// mounts in them.
func (b *box) Destroy(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.destroyed {
		return nil
	}
	err := pidfd.Kill(b.pidfd)
	if err == nil {
		b.group.note()
		err = pidfd.Reap(b.pidfd)
	}
	if err == nil {
		err = b.group.end()
	}
	if err != nil {
		return &sandbox.Error{Code: sandbox.CodeInternal, Op: "destroy", Backend: Name, ID: b.id, Err: err,
			Hint: "run `ringwall gc` later"}
	}
	unix.Close(b.pidfd)
	b.client.Close()
	b.denials.close()
	b.ids.release()
	b.destroyed = true
	for _, p := range b.processes {
		// For those that nobody waits for. Not waited for itself: the reader of their
		// output may take its time.
		go p.release()
	}
	return nil
}
