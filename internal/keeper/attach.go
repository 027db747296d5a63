package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/guest"
	"github.com/ringwall/ringwall/internal/linux/pidfd"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// Attach connects to the keeper of the sandbox that ref names; its Data is Spec.Dir.
// There are no two kinds of attached: whoever made the sandbox has no more rights.
func Attach(ctx context.Context, ref sandbox.Ref) (sandbox.Sandbox, error) {
	fail := func(code sandbox.Code, err error, hint string) error {
		return &sandbox.Error{Code: code, Op: "attach", Backend: ref.Backend, ID: ref.ID, Err: err, Hint: hint}
	}
	if ref.Version != 1 {
		return nil, fail(sandbox.CodeUnsupported, fmt.Errorf("version %d of a reference is not known", ref.Version), "use the ringwall that made the sandbox")
	}
	fd, err := dial(string(ref.Data))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fail(sandbox.CodeNotFound, errors.New("there is no such sandbox"), "see `ringwall ps`")
	case errors.Is(err, unix.ECONNREFUSED):
		return nil, fail(sandbox.CodeLost, errors.New("the sandbox has died with its keeper"), "`ringwall gc` removes what is left of it")
	case err != nil:
		return nil, fail(sandbox.CodeInternal, err, "")
	}
	s := &session{ref: ref, conn: guest.NewConn(fd, maxFrame), waiting: map[int]chan frame{}, programs: map[int]*process{}, gone: make(chan struct{})}
	peer, err := peerOf(fd)
	if err == nil {
		s.pidfd, err = unix.PidfdOpen(peer, 0)
	}
	if err != nil {
		s.conn.Close()
		return nil, fail(sandbox.CodeLost, err, "")
	}
	stop := context.AfterFunc(ctx, func() { s.conn.Shutdown() })
	err = s.greet()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.conn.Close()
		unix.Close(s.pidfd)
		return nil, fail(sandbox.CodeLost, err, "")
	}
	go s.receive()
	return s, nil
}

func dial(dir string) (int, error) {
	addr, closeDir, err := socketAddress(dir)
	if err != nil {
		return -1, err
	}
	defer closeDir()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, addr); err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "connect", Path: dir + "/" + sandbox.ControlSocket, Err: err}
	}
	return fd, nil
}

// greet takes the keeper's hello.
func (s *session) greet() error {
	kind, payload, fds, err := s.conn.Receive()
	guest.CloseAll(fds)
	if err != nil {
		return fmt.Errorf("the keeper says nothing: %w", err)
	}
	var m hello
	if kind != kindHello || decode(payload, &m) != nil {
		return errSpeech
	}
	if m.Protocol != protocol {
		return fmt.Errorf("the keeper speaks version %d of the protocol, this ringwall version %d", m.Protocol, protocol)
	}
	if m.ID != s.ref.ID || m.Backend != s.ref.Backend {
		return fmt.Errorf("the keeper there has sandbox %s of %s", m.ID, m.Backend)
	}
	return nil
}

// session is a sandbox that somebody else keeps.
type session struct {
	ref   sandbox.Ref
	conn  *guest.Conn
	pidfd int // of the keeper
	gone  chan struct{}

	sendMu sync.Mutex
	closed bool

	mu        sync.Mutex
	lastID    int
	waiting   map[int]chan frame
	programs  map[int]*process
	destroyed bool
	last      answer // the last one, for when there is nobody to ask
}

// frame is what came for one of those who wait.
type frame struct {
	kind   guest.Kind
	about  about
	answer answer
}

var (
	_ sandbox.Sandbox      = (*session)(nil)
	_ sandbox.DenialLister = (*session)(nil)
	_ sandbox.Statser      = (*session)(nil)
	_ sandbox.Detacher     = (*session)(nil)
)

func (s *session) Ref() sandbox.Ref { return s.ref }

func (s *session) fail(op string, code sandbox.Code, err error, hint string) error {
	return &sandbox.Error{Code: code, Op: op, Backend: s.ref.Backend, ID: s.ref.ID, Err: err, Hint: hint}
}

var (
	errEnded     = errors.New("the sandbox has ended")
	errDestroyed = errors.New("the sandbox has been destroyed")
)

// receive hands out what the keeper says, until it is gone.
func (s *session) receive() {
	for {
		kind, payload, fds, err := s.conn.Receive()
		guest.CloseAll(fds)
		if err == nil {
			err = s.take(kind, payload)
		}
		if err != nil {
			break
		}
	}
	s.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.gone)
	for _, p := range s.programs {
		p.finish(about{Exit: sandbox.Exit{Reason: sandbox.ReasonLost, Usage: sandbox.Usage{Wall: time.Since(p.begun)}}})
	}
}

func (s *session) take(kind guest.Kind, payload []byte) error {
	f := frame{kind: kind}
	var err error
	switch kind {
	case kindAnswer:
		err = decode(payload, &f.answer)
		f.about.ID = f.answer.ID
	case kindStarted, kindFailed, kindExited:
		err = decode(payload, &f.about)
	default:
		err = errSpeech
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind == kindExited {
		if p := s.programs[f.about.ID]; p != nil {
			delete(s.programs, f.about.ID)
			p.finish(f.about)
		}
		return nil
	}
	if c := s.waiting[f.about.ID]; c != nil {
		delete(s.waiting, f.about.ID)
		c <- f // has room for it
	}
	return nil
}

// newID reserves an id, on which an answer is awaited.
func (s *session) newID() (int, chan frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID++
	c := make(chan frame, 1)
	s.waiting[s.lastID] = c
	return s.lastID, c
}

func (s *session) send(k guest.Kind, m any, fds ...int) error {
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	if s.closed {
		return errEnded
	}
	return send(s.conn, k, m, fds...)
}

// close gives up the connection once nobody sends any more.
func (s *session) close() {
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	if !s.closed {
		s.closed = true
		s.conn.Close()
		unix.Close(s.pidfd)
	}
}

// await waits for the answer to what was sent.
func (s *session) await(ctx context.Context, c chan frame) (frame, error) {
	select {
	case f := <-c:
		return f, nil
	case <-ctx.Done():
		return frame{}, context.Cause(ctx)
	case <-s.gone:
		select { // it may have been the last that came
		case f := <-c:
			return f, nil
		default:
			return frame{}, errEnded
		}
	}
}

func (s *session) Start(ctx context.Context, c sandbox.Cmd) (sandbox.Process, error) {
	s.mu.Lock()
	destroyed := s.destroyed
	s.mu.Unlock()
	if destroyed {
		return nil, s.fail("start", sandbox.CodeConflict, errDestroyed, "")
	}
	m := start{Args: c.Args, Env: c.Env, Dir: c.Dir}
	var fds []int
	for i, f := range []*os.File{c.Stdin, c.Stdout, c.Stderr} {
		if m.Has[i] = f != nil; f != nil {
			// Not f.Fd(): that would make the open file blocking for everybody who shares it.
			raw, err := f.SyscallConn()
			if err == nil {
				err = raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) })
			}
			if err != nil {
				return nil, s.fail("start", sandbox.CodeInvalid, fmt.Errorf("standard descriptor %d cannot be used: %w", i, err), "")
			}
		}
	}
	id, answered := s.newID()
	m.ID = id
	p := &process{session: s, id: id, begun: time.Now(), ended: make(chan struct{})}
	s.mu.Lock()
	s.programs[id] = p
	s.mu.Unlock()
	err := s.send(kindStart, m, fds...)
	var f frame
	if err == nil {
		f, err = s.await(ctx, answered)
	}
	if err == nil && f.kind == kindFailed {
		err = f.about.Error.err()
	}
	if err == nil {
		return p, nil
	}
	s.mu.Lock()
	delete(s.programs, id)
	delete(s.waiting, id)
	s.mu.Unlock()
	var e *sandbox.Error
	switch {
	case errors.As(err, &e), ctx.Err() != nil:
		return nil, err
	case errors.Is(err, errEnded), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
		return nil, s.fail("start", sandbox.CodeLost, errEnded, "")
	default:
		return nil, s.fail("start", sandbox.CodeInternal, err, "")
	}
}

// ask asks about the whole sandbox; without a keeper the last answer counts.
func (s *session) ask(ctx context.Context, k guest.Kind) (answer, error) {
	id, answered := s.newID()
	err := s.send(k, about{ID: id})
	var f frame
	if err == nil {
		f, err = s.await(ctx, answered)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, id)
	if err != nil {
		return s.last, err
	}
	s.last = f.answer
	return f.answer, nil
}

func (s *session) Denied() []sandbox.Denial {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	a, _ := s.ask(ctx, kindAsk)
	return slices.Clone(a.Denied)
}

func (s *session) Stats() (sandbox.Stats, error) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	a, err := s.ask(ctx, kindAsk)
	if err != nil && a.ID == 0 { // nor was there ever an answer
		return sandbox.Stats{}, s.fail("stats", sandbox.CodeLost, err, "")
	}
	return a.Stats, a.StatsError.err()
}

// Destroy has the keeper destroy the sandbox and waits until it has ended. A keeper
// that died took the sandbox with it; what it recorded is left to whoever cleans up.
func (s *session) Destroy(ctx context.Context) error {
	s.mu.Lock()
	done := s.destroyed
	s.mu.Unlock()
	if done {
		return nil
	}
	s.sendMu.Lock()
	keeper := -1
	if !s.closed {
		keeper, _ = unix.FcntlInt(uintptr(s.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	}
	s.sendMu.Unlock()
	a, err := s.ask(ctx, kindDestroy)
	if err == nil {
		err = a.Error.err()
	} else if ctx.Err() == nil {
		err = nil // it is gone
	}
	if keeper >= 0 {
		defer unix.Close(keeper)
		if err == nil {
			if e := pidfd.AwaitEnd(keeper, grace); e != nil {
				err = s.fail("destroy", sandbox.CodeInternal, fmt.Errorf("its keeper: %w", e), "run `ringwall gc` later")
			}
		}
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.destroyed = true
	s.mu.Unlock()
	return s.Detach()
}

// Detach lets go of the sandbox, which lives on. Programs started here run on; how
// they end is not told any more.
func (s *session) Detach() error {
	s.sendMu.Lock()
	if !s.closed {
		s.conn.Shutdown()
	}
	s.sendMu.Unlock()
	<-s.gone
	return nil
}

// process is a program in a session.
type process struct {
	session *session
	id      int
	begun   time.Time
	once    sync.Once
	ended   chan struct{}
	result  about
}

var _ sandbox.Process = (*process)(nil)

func (p *process) finish(m about) {
	p.once.Do(func() {
		p.result = m
		close(p.ended)
	})
}

func (p *process) Wait(ctx context.Context) (sandbox.Exit, error) {
	select {
	case <-p.ended:
		return p.result.Exit, p.result.Error.err()
	case <-ctx.Done():
		return sandbox.Exit{}, context.Cause(ctx)
	}
}

func (p *process) Signal(_ context.Context, sig os.Signal) error {
	n, ok := sig.(syscall.Signal)
	if !ok {
		return p.session.fail("signal", sandbox.CodeInvalid, fmt.Errorf("signal %v is none of Linux", sig), "")
	}
	select {
	case <-p.ended:
		return nil
	default:
	}
	err := p.session.send(kindSignal, signal{ID: p.id, Signal: int(n)})
	if errors.Is(err, errEnded) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return nil
	}
	return err
}
