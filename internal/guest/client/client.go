// Package client is the host's side of the conversation with a guest. It trusts
// nothing that comes back: an answer that does not fit ends the conversation.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/ringwall/ringwall/internal/guest"
)

// ErrGone is returned once the guest has closed its side or was given up.
var ErrGone = errors.New("the sandbox has ended")

// Failure is a step that the guest reports as failed.
type Failure struct {
	Step   string // see package guest; "find", "exec" and "chdir" are the program's fault
	Detail string
	Errno  syscall.Errno
}

func (f *Failure) Error() string {
	switch {
	case f.Errno == 0:
		return f.Detail
	case f.Detail == "":
		return f.Errno.Error()
	default:
		return f.Detail + ": " + f.Errno.Error()
	}
}

// Unwrap returns the error number, if the step failed in a system call.
func (f *Failure) Unwrap() error {
	if f.Errno == 0 {
		return nil
	}
	return f.Errno
}

// Client talks to one guest. Its methods may be called from several goroutines.
type Client struct {
	conn *guest.Conn

	sendMu sync.Mutex
	closed bool

	mu       sync.Mutex
	programs map[int]*Program // started or starting, by id
	lastID   int
	err      error // set when the conversation is over

	done chan struct{} // closed when receive has returned
}

// New returns a Client that uses fd, a connected unix stream socket, which it owns.
func New(fd int) *Client {
	return &Client{conn: guest.NewConn(fd, guest.MaxFromGuest), programs: map[int]*Program{}}
}

// Setup sends m and waits for the guest to be ready. It must be called once, first. The
// alarms that it returns are the descriptor for seccomp.NewListener, the caller's to
// close, or -1 if the guest sent none.
func (c *Client) Setup(ctx context.Context, m guest.Setup, fds ...int) (ready guest.Ready, alarms int, err error) {
	stop := context.AfterFunc(ctx, c.shutdown)
	defer stop()
	alarms = -1
	defer func() {
		if err != nil && alarms >= 0 {
			guest.CloseAll([]int{alarms})
			alarms = -1
		}
	}()
	if err := c.send(guest.KindSetup, m.Encode(), fds...); err != nil {
		return ready, alarms, goneOr(ctx, err)
	}
	kind, payload, got, err := c.answer(ctx)
	if err == nil && kind == guest.KindAlarms && len(got) == 1 {
		alarms = got[0]
		kind, payload, got, err = c.answer(ctx)
	}
	guest.CloseAll(got) // it has no business sending others
	if err != nil {
		return ready, alarms, err
	}
	if kind != guest.KindReady {
		return ready, alarms, guest.ErrMalformed
	}
	ready, err = guest.DecodeReady(payload)
	if err == nil && ready.Version != guest.Version {
		err = fmt.Errorf("the guest speaks version %d of the protocol, this ringwall version %d", ready.Version, guest.Version)
	}
	return ready, alarms, err
}

// Seal lets the guest make itself unreadable. It must be called once, after Setup and
// before any Start.
func (c *Client) Seal(ctx context.Context) error {
	stop := context.AfterFunc(ctx, c.shutdown)
	defer stop()
	if err := c.send(guest.KindSeal, nil); err != nil {
		return goneOr(ctx, err)
	}
	kind, _, got, err := c.answer(ctx)
	guest.CloseAll(got)
	if err == nil && kind != guest.KindSealed {
		err = guest.ErrMalformed
	}
	if err != nil {
		return err
	}
	c.done = make(chan struct{})
	go c.receive()
	return nil
}

// answer receives a frame; a KindFailed is returned as a Failure. Only before receive
// runs.
func (c *Client) answer(ctx context.Context) (guest.Kind, []byte, []int, error) {
	kind, payload, got, err := c.conn.Receive()
	if err != nil {
		return 0, nil, nil, goneOr(ctx, err)
	}
	if kind != guest.KindFailed {
		return kind, payload, got, nil
	}
	guest.CloseAll(got)
	failed, err := guest.DecodeFailed(payload)
	if err != nil {
		return 0, nil, nil, err
	}
	return 0, nil, nil, &Failure{Step: failed.Step, Detail: failed.Detail, Errno: syscall.Errno(failed.Errno)}
}

func goneOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return ErrGone
	}
	return err
}

// Done is closed when the conversation is over. It must be called only after Seal.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close ends the conversation; the guest and with it the sandbox ends too. Programs
// that still ran are lost. It is idempotent and waits for nothing but our own
// goroutine.
func (c *Client) Close() {
	c.shutdown()
	c.over()
	if c.done != nil {
		<-c.done
	}
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	if !c.closed {
		c.closed = true
		c.conn.Close()
	}
}

// send sends a frame unless the socket is closed: its number may be another's now.
func (c *Client) send(kind guest.Kind, payload []byte, fds ...int) error {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	if c.closed {
		return ErrGone
	}
	return c.conn.Send(kind, payload, fds...)
}

func (c *Client) shutdown() {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	if !c.closed {
		c.conn.Shutdown()
	}
}

// over ends the conversation: whatever is asked from now on is answered ErrGone.
func (c *Client) over() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = ErrGone
	for id, p := range c.programs {
		delete(c.programs, id)
		p.lose()
	}
}

// receive takes the guest's messages until it has none left or sends nonsense.
func (c *Client) receive() {
	defer close(c.done)
	for {
		kind, payload, fds, err := c.conn.Receive()
		guest.CloseAll(fds)
		if err == nil {
			err = c.take(kind, payload)
		}
		if err != nil {
			c.shutdown() // a guest that sends nonsense ends as well
			c.over()
			return
		}
	}
}

func (c *Client) take(kind guest.Kind, payload []byte) error {
	switch kind {
	case guest.KindStarted:
		m, err := guest.DecodeStarted(payload)
		if err != nil {
			return err
		}
		if p := c.program(m.ID, false); p != nil {
			p.setStarted(nil)
		}
	case guest.KindExited:
		m, err := guest.DecodeExited(payload)
		if err != nil {
			return err
		}
		// For a short program this may come before KindStarted.
		if p := c.program(m.ID, true); p != nil {
			p.setStarted(nil)
			p.setExited(m)
		}
	case guest.KindFailed:
		m, err := guest.DecodeFailed(payload)
		if err != nil {
			return err
		}
		if p := c.program(m.ID, true); p != nil {
			p.setStarted(&Failure{Step: m.Step, Detail: m.Detail, Errno: syscall.Errno(m.Errno)})
		}
	default:
		return guest.ErrMalformed
	}
	return nil
}

func (c *Client) program(id int, last bool) *Program {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.programs[id]
	if last {
		delete(c.programs, id)
	}
	return p
}
