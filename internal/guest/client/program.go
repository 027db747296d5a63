package client

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/ringwall/ringwall/internal/guest"
)

// Program is a program that was started.
type Program struct {
	id     int
	client *Client
	begun  time.Time

	started chan struct{} // closed when it runs or could not be started
	ended   chan struct{} // closed when it has ended or is lost

	mu       sync.Mutex
	isUp     bool
	isDown   bool
	startErr error
	exited   guest.Exited
	lost     bool
	wall     time.Duration
}

// Start starts a program; m.ID is chosen here. fds are its standard descriptors
// that are not /dev/null; the caller keeps them.
func (c *Client) Start(ctx context.Context, m guest.Start, fds ...int) (*Program, error) {
	p := &Program{client: c, begun: time.Now(), started: make(chan struct{}), ended: make(chan struct{})}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, c.err
	}
	c.lastID++
	p.id, m.ID = c.lastID, c.lastID
	c.programs[p.id] = p
	c.mu.Unlock()

	payload := m.Encode()
	if len(payload) > guest.MaxToGuest {
		c.program(p.id, true)
		return nil, &Failure{Step: "exec", Detail: "arguments and environment", Errno: syscall.E2BIG}
	}
	if err := c.send(guest.KindStart, payload, fds...); err != nil {
		c.program(p.id, true)
		return nil, goneOr(ctx, err)
	}
	select {
	case <-p.started:
	case <-p.ended:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.startErr != nil {
		return nil, p.startErr
	}
	if p.lost {
		return nil, ErrGone
	}
	return p, nil
}

// Ended is closed when the program has ended or is lost.
func (p *Program) Ended() <-chan struct{} { return p.ended }

// Result tells how the program ended and how long it ran. ok is false if it was
// lost with its sandbox. It must be called only once Ended is closed.
func (p *Program) Result() (m guest.Exited, wall time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exited, p.wall, !p.lost
}

// Signal sends sig to the program's process group. A program that has ended, or a
// sandbox that has, is not an error.
func (p *Program) Signal(sig syscall.Signal) error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	err := p.client.send(guest.KindSignal, guest.Signal{ID: p.id, Signal: int(sig)}.Encode())
	if errors.Is(err, ErrGone) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

func (p *Program) setStarted(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isUp {
		p.isUp, p.startErr = true, err
		close(p.started)
	}
}

func (p *Program) setExited(m guest.Exited) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isDown {
		p.isDown, p.exited, p.wall = true, m, time.Since(p.begun)
		close(p.ended)
	}
}

func (p *Program) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isDown {
		p.isDown, p.lost, p.wall = true, true, time.Since(p.begun)
		close(p.ended)
	}
}
