// Package seccomp is the system call filter that every sandboxed program runs under.
// The filter itself is generated from the table in package policy, which is not
// linked into anything that runs: see README.md.
package seccomp

//go:generate go run ./gen

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrUnsupported is returned on an architecture that has no filter.
var ErrUnsupported = errors.New("there is no system call filter for this architecture")

// Program returns the filter for this architecture, or nil if there is none. It must
// not be changed.
func Program() []unix.SockFilter { return program }

// Install puts the calling thread, or with all the whole process, under the filter
// for good. It takes no_new_privs or CAP_SYS_ADMIN; with all, no_new_privs of the
// calling thread spreads too (seccomp(2), SECCOMP_FILTER_FLAG_TSYNC).
func Install(all bool) error {
	if len(program) == 0 {
		return ErrUnsupported
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	var flags uintptr
	if all {
		flags = unix.SECCOMP_FILTER_FLAG_TSYNC
	}
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	if r != 0 { // the thread that could not be brought along
		return fmt.Errorf("thread %d is under another filter", r)
	}
	return nil
}
