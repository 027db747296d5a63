// Package seccomp is the system call filter that every sandboxed program runs under.
// The filter itself is generated from the table in package policy, which is not
// linked into anything that runs: see README.md.
package seccomp

//go:generate go run ./gen

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrUnsupported is returned on an architecture that has no filter.
var ErrUnsupported = errors.New("there is no system call filter for this architecture")

// Supported reports whether there is a filter for this architecture.
func Supported() bool { return len(program) > 0 }

// Options choose a filter.
type Options struct {
	UserNS  bool // programs may make user namespaces
	NoSetID bool // programs may not make set-user-id and set-group-id files
}

// Install puts the whole process under the filter for good. It takes no_new_privs, which
// then spreads from the calling thread to all others, or CAP_SYS_ADMIN (seccomp(2),
// SECCOMP_FILTER_FLAG_TSYNC).
//
// Alarming calls wait until somebody answers them on the descriptor that is returned:
// see Listener. Once all its copies are closed they fail with ENOSYS.
func Install(o Options) (listener int, err error) {
	filter := program
	switch {
	case o.UserNS && o.NoSetID:
		filter = programUserNSNoSetID
	case o.UserNS:
		filter = programUserNS
	case o.NoSetID:
		filter = programNoSetID
	}
	if len(filter) == 0 {
		return -1, ErrUnsupported
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	// Without the last flag (Linux 5.19) a signal, such as those by which the Go runtime
	// preempts, makes a call that waits start again and be counted again.
	r, _, errno := install(flags|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &prog)
	if errno == unix.EINVAL {
		r, _, errno = install(flags, &prog)
	}
	if errno != 0 {
		return -1, errno
	}
	return int(r), nil
}

func install(flags uintptr, prog *unix.SockFprog) (uintptr, uintptr, unix.Errno) {
	return unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(prog)))
}
