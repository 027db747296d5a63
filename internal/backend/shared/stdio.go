// Package shared holds what two or more backends use.
package shared

import (
	"context"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// Stdio stands between the caller's standard descriptors and the program's. The
// program gets fresh pipes, never a descriptor of the caller: a directory as stdin
// would give it /proc/self/fd/0/../../etc/shadow, and a log that it inherits could
// be opened again through /proc/self/fd/1 and read or truncated.
//
// Use: NewStdio, hand Inner to the program, Start, Wait once the program has
// ended, Close in every case.
type Stdio struct {
	inner  [3]*os.File
	relays []*relay
	finish int // eventfd: readable once the program has ended

	outputs sync.WaitGroup
	all     sync.WaitGroup
	started bool
	closed  sync.Once
}

// NewStdio checks the caller's descriptors in c and makes the pipes. The caller
// keeps its descriptors and must leave them open until Close has returned.
// Directories, block devices and character devices other than terminals and the
// harmless memory devices are refused with CodeInvalid.
func NewStdio(c sandbox.Cmd) (*Stdio, error) {
	s := &Stdio{finish: -1}
	files := [3]*os.File{c.Stdin, c.Stdout, c.Stderr}
	var fds [3]int
	for i, f := range files {
		fd, err := checkDescriptor(i, f)
		if err != nil {
			return nil, err
		}
		fds[i] = fd
	}
	if fds[0] < 0 && fds[1] < 0 && fds[2] < 0 {
		return s, nil
	}
	var err error
	if s.finish, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, pipeError(err)
	}
	for i, fd := range fds {
		if fd < 0 {
			continue
		}
		if i == 2 && fds[1] >= 0 && sameOpenFile(fds[1], fds[2]) {
			// One pipe for both: the order of what the program writes is kept.
			s.inner[2] = s.inner[1]
			continue
		}
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			s.Close()
			return nil, pipeError(err)
		}
		r := &relay{src: fd, dst: p[1], ours: p[1], in: true, finish: s.finish}
		inner := p[0]
		if i > 0 {
			r = &relay{src: p[0], dst: fd, ours: p[0], finish: s.finish}
			inner = p[1]
		}
		s.relays = append(s.relays, r)
		// Our end only: the program's is another open file and stays blocking.
		unix.SetNonblock(r.ours, true)
		s.inner[i] = os.NewFile(uintptr(inner), "stdio")
	}
	return s, nil
}

// Inner returns the program's ends. A nil entry stands for /dev/null, to be opened
// inside. Entries 1 and 2 may be the same file.
func (s *Stdio) Inner() [3]*os.File { return s.inner }

// Start begins to relay and closes our copies of the program's ends. It must be
// called once the program has got them, so that end of file reaches us when the
// last of the program's copies is closed.
func (s *Stdio) Start() {
	s.started = true
	s.closeInner()
	for _, r := range s.relays {
		s.all.Add(1)
		if !r.in {
			s.outputs.Add(1)
		}
		go func() {
			defer s.all.Done()
			if !r.in {
				defer s.outputs.Done()
			}
			r.run()
		}()
	}
}

// Wait returns when everything that the program has written is delivered. It must
// be called only after the program has ended. What other processes that still hold
// the pipes write later is not waited for.
func (s *Stdio) Wait(ctx context.Context) error {
	if !s.started || len(s.relays) == 0 {
		return nil
	}
	s.stop()
	done := make(chan struct{})
	go func() { s.outputs.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close stops relaying, waits for it and closes all that is ours. It is idempotent.
// Output that a slow reader has not taken is still delivered: a relay in the middle
// of a write ends only with that write.
func (s *Stdio) Close() {
	s.closed.Do(func() {
		s.stop()
		s.closeInner()
		s.all.Wait()
		for _, r := range s.relays {
			r.close()
		}
		if s.finish >= 0 {
			unix.Close(s.finish)
		}
	})
}

func (s *Stdio) stop() {
	if s.finish >= 0 {
		unix.Write(s.finish, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

func (s *Stdio) closeInner() {
	for i, f := range s.inner {
		if f != nil {
			f.Close() // entry 2 may be entry 1 again: closing twice is an error we ignore
			s.inner[i] = nil
		}
	}
}

func pipeError(err error) error {
	return &sandbox.Error{Code: sandbox.CodeExhausted, Op: "start", Step: "stdio",
		Err: fmt.Errorf("making pipes: %w", err), Hint: "raise the limit on open files (ulimit -n)"}
}
