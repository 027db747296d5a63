package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	ossignal "os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/guest"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// Ender is a Sandbox that tells when it has ended by itself: its keeper ends then too.
type Ender interface {
	Ended() <-chan struct{}
}

// The exit statuses of a keeper. Only people with strace see them.
const (
	exitAlone  = 70 // the creator went away, or speaks another language
	exitFailed = 71
)

// Main is the life of a keeper. build returns a backend for a Request's Backend and
// Config. It returns the exit status.
func Main(build func(name string, config json.RawMessage) (sandbox.Backend, error)) int {
	signals := make(chan os.Signal, 1)
	ossignal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	// A write to a closed descriptor of somebody's is an error of that write.
	ossignal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ossignal.Ignore(syscall.SIGHUP)
	unix.CloseOnExec(controlFD)
	conn := guest.NewConn(controlFD, maxFrame)
	kind, payload, fds, err := conn.Receive()
	guest.CloseAll(fds)
	var m creation
	if err != nil || kind != kindCreate || decode(payload, &m) != nil || m.Protocol != protocol {
		return exitAlone
	}
	k := &keeper{conn: conn, backend: m.Backend, id: m.Spec.ID, dir: m.Spec.Dir, calls: m.Calls, listener: -1}
	if err := k.create(build, m); err != nil {
		k.end()
		send(conn, kindFailed, about{Error: toWire(err)})
		return exitFailed
	}
	defer k.end()
	if send(conn, kindReady, struct{}{}) != nil {
		return exitAlone
	}
	if kind, _, _, err = conn.Receive(); err != nil || kind != kindKeep {
		return exitAlone
	}
	conn.Close()
	return k.live(signals)
}

// keeper is the state of the process.
type keeper struct {
	conn     *guest.Conn // to the creator, until the sandbox is kept
	backend  string
	id, dir  string
	calls    []string
	listener int
	held     []int // descriptors that stay open: locks
	callMu   sync.Mutex

	once sync.Once
	box  sandbox.Sandbox
	over chan struct{} // closed when the sandbox is to end
	quit sync.Once
}

// create makes the socket and the sandbox.
func (k *keeper) create(build func(string, json.RawMessage) (sandbox.Backend, error), m creation) error {
	k.over = make(chan struct{})
	b, err := build(m.Backend, m.Config)
	if err != nil {
		return err
	}
	if err := k.listen(); err != nil {
		return &sandbox.Error{Code: sandbox.CodeInternal, Op: "create", Backend: k.backend, ID: k.id, Step: "keeper", Err: err}
	}
	spec := m.Spec
	spec.Life = sandbox.LifeCommand
	if k.has(callLayers) || k.has(callHold) {
		spec.MakeLayers = k.layers
	}
	if k.has(callHide) {
		spec.Hide = func() ([]string, error) {
			v, _, err := k.call(call{Name: callHide})
			return v.Hide, err
		}
	}
	if k.has(callOwn) {
		spec.Own = func(r sandbox.Resource) error {
			_, _, err := k.call(call{Name: callOwn, Resource: r})
			return err
		}
	}
	if k.has(callTrace) {
		spec.Trace = func(s sandbox.Step) { k.call(call{Name: callTrace, Step: s}) }
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		k.awaitAlone()
		cancel()
	}()
	k.box, err = b.Create(ctx, spec)
	return err
}

// awaitAlone returns when the creator has gone away or given up.
func (k *keeper) awaitAlone() {
	fds := []unix.PollFd{{Fd: controlFD, Events: unix.POLLRDHUP}}
	for {
		if _, err := unix.Poll(fds, -1); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func (k *keeper) has(name string) bool { return slices.Contains(k.calls, name) }

// layers lets the creator make the layers, and then takes over its locks.
func (k *keeper) layers() error {
	if k.has(callLayers) {
		if _, _, err := k.call(call{Name: callLayers}); err != nil {
			return err
		}
	}
	if !k.has(callHold) {
		return nil
	}
	_, fds, err := k.call(call{Name: callHold})
	k.held = fds
	return err
}

// call has the creator do something. Without a creator there is nothing to do but end:
// what was made is undone by the caller, and then by whoever cleans up.
func (k *keeper) call(m call) (v value, fds []int, err error) {
	k.callMu.Lock()
	defer k.callMu.Unlock()
	if err := send(k.conn, kindCall, m); err != nil {
		return v, nil, err
	}
	kind, payload, fds, err := k.conn.Receive()
	if err == nil && kind != kindReturn {
		err = errSpeech
	}
	if err == nil {
		err = decode(payload, &v)
	}
	if err == nil {
		err = v.Error.err()
	}
	if err != nil {
		guest.CloseAll(fds)
		return v, nil, err
	}
	return v, fds, nil
}

// listen makes the socket, in a directory that only its owner may enter.
func (k *keeper) listen() error {
	addr, closeDir, err := socketAddress(k.dir)
	if err != nil {
		return err
	}
	defer closeDir()
	if k.listener, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	if err := unix.Bind(k.listener, addr); err != nil {
		return &os.PathError{Op: "bind", Path: k.dir + "/" + sandbox.ControlSocket, Err: err}
	}
	return unix.Listen(k.listener, 64)
}

// end destroys the sandbox and removes the socket. The locks go with the process.
func (k *keeper) end() (err error) {
	if k.box != nil {
		err = k.box.Destroy(context.Background())
	}
	if k.listener >= 0 && err == nil {
		k.once.Do(func() { os.Remove(k.dir + "/" + sandbox.ControlSocket) })
	}
	return err
}

// live serves until the sandbox ends.
func (k *keeper) live(signals <-chan os.Signal) int {
	var ended <-chan struct{}
	if e, ok := sandbox.As[Ender](k.box); ok {
		ended = e.Ended()
	}
	go k.accept()
	select {
	case <-signals:
	case <-ended:
	case <-k.over:
	}
	return 0
}

// accept takes in whoever may attach: our own user, and root.
func (k *keeper) accept() {
	for {
		fd, _, err := unix.Accept4(k.listener, unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNABORTED) {
			continue
		}
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) {
			time.Sleep(10 * time.Millisecond) // until some of those who are here go away
			continue
		}
		if err != nil {
			k.stop() // nobody could reach the sandbox again
			return
		}
		if _, err := peerOf(fd); err != nil {
			unix.Close(fd)
			continue
		}
		c := &visitor{keeper: k, conn: guest.NewConn(fd, maxFrame), programs: map[int]sandbox.Process{}}
		go c.serve()
	}
}

// stop lets live return.
func (k *keeper) stop() { k.quit.Do(func() { close(k.over) }) }

// visitor is one who attached. Its programs run on when it goes away; what they still
// write goes where it went.
type visitor struct {
	*keeper
	conn *guest.Conn

	sendMu sync.Mutex
	closed bool

	mu       sync.Mutex
	programs map[int]sandbox.Process
}

func (v *visitor) send(k guest.Kind, m any) {
	v.sendMu.Lock()
	defer v.sendMu.Unlock()
	if !v.closed {
		send(v.conn, k, m) // one that has gone away is found out by its reader
	}
}

func (v *visitor) serve() {
	v.send(kindHello, hello{Protocol: protocol, ID: v.id, Backend: v.backend})
	for {
		kind, payload, fds, err := v.conn.Receive()
		if err == nil {
			err = v.take(kind, payload, fds)
		}
		if err != nil {
			v.sendMu.Lock()
			defer v.sendMu.Unlock()
			v.closed = true
			v.conn.Close()
			return
		}
	}
}

func (v *visitor) take(kind guest.Kind, payload []byte, fds []int) error {
	if kind != kindStart {
		guest.CloseAll(fds)
	}
	switch kind {
	case kindStart:
		var m start
		if err := decode(payload, &m); err != nil {
			guest.CloseAll(fds)
			return err
		}
		go v.start(m, fds)
	case kindSignal:
		var m signal
		if err := decode(payload, &m); err != nil {
			return err
		}
		v.mu.Lock()
		p := v.programs[m.ID]
		v.mu.Unlock()
		if p != nil {
			p.Signal(context.Background(), syscall.Signal(m.Signal))
		}
	case kindAsk, kindDestroy:
		var m about
		if err := decode(payload, &m); err != nil {
			return err
		}
		if kind == kindAsk {
			v.send(kindAnswer, v.answer(m.ID, nil))
			return nil
		}
		err := v.end()
		v.send(kindAnswer, v.answer(m.ID, err))
		if err == nil {
			v.stop()
		}
	default:
		return errSpeech
	}
	return nil
}

func (v *visitor) answer(id int, err error) answer {
	a := answer{ID: id, Error: toWire(err)}
	if d, ok := sandbox.As[sandbox.DenialLister](v.box); ok {
		a.Denied = d.Denied()
	}
	if s, ok := sandbox.As[sandbox.Statser](v.box); ok {
		stats, err := s.Stats()
		a.Stats, a.StatsError = stats, toWire(err)
	}
	return a
}

// start runs a program to its end.
func (v *visitor) start(m start, fds []int) {
	c := sandbox.Cmd{Args: m.Args, Env: m.Env, Dir: m.Dir}
	var files []*os.File
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "stdio"))
	}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	rest := files
	for i, to := range []**os.File{&c.Stdin, &c.Stdout, &c.Stderr} {
		if m.Has[i] && len(rest) > 0 {
			*to, rest = rest[0], rest[1:]
		}
	}
	p, err := v.box.Start(context.Background(), c)
	if err != nil {
		v.send(kindFailed, about{ID: m.ID, Error: toWire(err)})
		return
	}
	v.mu.Lock()
	v.programs[m.ID] = p
	v.mu.Unlock()
	v.send(kindStarted, about{ID: m.ID})
	exit, err := p.Wait(context.Background())
	v.mu.Lock()
	delete(v.programs, m.ID)
	v.mu.Unlock()
	v.send(kindExited, about{ID: m.ID, Exit: exit, Error: toWire(err)})
}
