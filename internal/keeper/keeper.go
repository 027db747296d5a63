// Package keeper lets sandboxes live longer than the command that made them. A keeper
// is a process of its own, outside of the sandbox: it makes the sandbox, holds its
// records' locks, relays its programs' standard descriptors, and serves whoever
// attaches, on a socket in the sandbox's own directory. When it dies the sandbox does.
//
// It works for every backend whose sandboxes end with their creator. It must not be
// imported by packages below internal/linux or by the guest.
package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/guest"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// Arg0 is what a keeper is started as. A program that can be one calls Main if its own
// name is that.
const Arg0 = "ringwall-keeper"

// controlFD is the keeper's end of its creator's socket.
const controlFD = 3

// Request says what sandbox to keep.
type Request struct {
	Program string // can be a keeper; "" is this one
	Backend string
	Config  any // of the backend, as JSON
	Spec    sandbox.Spec
}

// Create starts a keeper, has it make a sandbox and attaches to it. Functions of the
// Spec are called in this process. If this process dies before Create returns, the
// keeper ends too.
func Create(ctx context.Context, r Request) (_ sandbox.Sandbox, err error) {
	fail := func(step string, err error) error {
		return &sandbox.Error{Code: sandbox.CodeInternal, Op: "create", Backend: r.Backend, ID: r.Spec.ID, Step: step, Err: err}
	}
	config, err := json.Marshal(r.Config)
	if err != nil {
		return nil, fail("keeper", err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fail("keeper", err)
	}
	conn := guest.NewConn(pair[0], maxFrame)
	defer conn.Close()
	theirs := os.NewFile(uintptr(pair[1]), "keeper")
	process, err := r.startProcess(theirs)
	theirs.Close()
	if err != nil {
		return nil, fail("keeper", fmt.Errorf("starting the keeper: %w", err))
	}
	ended := make(chan struct{})
	go func() { // whenever that is
		process.Wait()
		close(ended)
	}()
	stop := context.AfterFunc(ctx, func() { conn.Shutdown() })
	defer stop()
	m := creation{Protocol: protocol, Backend: r.Backend, Config: config, Spec: r.Spec, Calls: r.calls()}
	err = send(conn, kindCreate, m)
	if err == nil {
		err = r.converse(conn)
	}
	if err == nil && !stop() {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = send(conn, kindKeep, struct{}{})
	}
	var box sandbox.Sandbox
	if err == nil { // from here on it lives: giving up is for Destroy
		box, err = Attach(context.WithoutCancel(ctx), sandbox.Ref{Backend: r.Backend, ID: r.Spec.ID, Version: 1, Data: []byte(r.Spec.Dir)})
	}
	if err != nil {
		conn.Shutdown()
		process.Signal(syscall.SIGTERM)
		// The keeper takes back what it has made before it ends.
		select {
		case <-ended:
		case <-time.After(grace):
			process.Kill()
			<-ended
		}
		if ctx.Err() != nil {
			return nil, fail("keeper", context.Cause(ctx))
		}
		var e *sandbox.Error
		if errors.As(err, &e) {
			return nil, err
		}
		return nil, fail("keeper", fmt.Errorf("the keeper ended: %w", err))
	}
	return box, nil
}

// startProcess starts the keeper, in a session of its own and with nothing of the
// caller's: what lives on must not keep a terminal busy, or a secret in its environment.
func (r *Request) startProcess(control *os.File) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	program := r.Program
	if program == "" {
		program = "/proc/self/exe"
	}
	return os.StartProcess(program, []string{Arg0, r.Spec.ID}, &os.ProcAttr{Dir: "/", Files: []*os.File{null, null, null, control},
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, Sys: &syscall.SysProcAttr{Setsid: true}})
}

// calls lists the functions that r.Spec has.
func (r *Request) calls() (names []string) {
	s := &r.Spec
	for name, is := range map[string]bool{callLayers: s.MakeLayers != nil, callHide: s.Hide != nil, callOwn: s.Own != nil,
		callHold: s.Hold != nil, callTrace: s.Trace != nil} {
		if is {
			names = append(names, name)
		}
	}
	return names
}

// converse serves the keeper's calls until the sandbox is ready or has failed.
func (r *Request) converse(conn *guest.Conn) error {
	for {
		kind, payload, fds, err := conn.Receive()
		guest.CloseAll(fds)
		if err != nil {
			return err
		}
		switch kind {
		case kindReady:
			return nil
		case kindFailed:
			var m about
			if err := decode(payload, &m); err != nil {
				return err
			}
			return m.Error.err()
		case kindCall:
			var m call
			if err := decode(payload, &m); err != nil {
				return err
			}
			if err := r.serve(conn, m); err != nil {
				return err
			}
		default:
			return errSpeech
		}
	}
}

// serve carries out a call and answers it.
func (r *Request) serve(conn *guest.Conn, m call) error {
	var v value
	var files []*os.File
	var err error
	switch {
	case m.Name == callLayers && r.Spec.MakeLayers != nil:
		err = r.Spec.MakeLayers()
	case m.Name == callHide && r.Spec.Hide != nil:
		v.Hide, err = r.Spec.Hide()
	case m.Name == callOwn && r.Spec.Own != nil:
		err = r.Spec.Own(m.Resource)
	case m.Name == callHold && r.Spec.Hold != nil:
		files, err = r.Spec.Hold()
	case m.Name == callTrace && r.Spec.Trace != nil:
		r.Spec.Trace(m.Step)
	default:
		return errSpeech
	}
	v.Error = toWire(err)
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	return send(conn, kindReturn, v, fds...)
}

// peerOf returns the process at the other end of a socket, which must be our own user's,
// or root's.
func peerOf(fd int) (pid int, err error) {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err == nil && peer.Uid != 0 && peer.Uid != uint32(os.Geteuid()) {
		err = fmt.Errorf("uid %d is at the other end", peer.Uid)
	}
	if err != nil {
		return 0, err
	}
	return int(peer.Pid), nil
}

// socketAddress is how the socket in dir is named: a path of any length, where the
// kernel takes 107 bytes. Close must be called when it was used.
func socketAddress(dir string) (addr *unix.SockaddrUnix, closeDir func(), err error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", fd, sandbox.ControlSocket)}, func() { unix.Close(fd) }, nil
}

// Has reports whether a keeper has served in the sandbox directory dir. Whether it
// lives, Attach finds out.
func Has(dir string) bool {
	info, err := os.Lstat(filepath.Join(dir, sandbox.ControlSocket))
	return err == nil && info.Mode()&os.ModeSocket != 0
}
