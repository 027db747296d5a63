package main

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// capHeader and capData are those of capset(2), version 3: two words per set.
type capHeader struct {
	version uint32
	pid     int32
}

type capData struct{ effective, permitted, inheritable uint32 }

// The arguments of capset(2) and capget(2). They are variables of the package because
// their addresses travel as numbers: what lies on a goroutine's stack can move.
var (
	capHead = capHeader{version: unix.LINUX_CAPABILITY_VERSION_3}
	caps    [2]capData
)

func capArgs() (head, data uintptr) {
	return uintptr(unsafe.Pointer(&capHead)), uintptr(unsafe.Pointer(&caps))
}

// dropCaps takes all capabilities from all threads: a program that took over the guest
// would find none either.
func dropCaps() error {
	caps = [2]capData{}
	head, data := capArgs()
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, head, data, 0); errno != 0 {
		return errno
	}
	return nil
}

// keepCaps serves the control in which programs keep their capabilities.
func keepCaps() *failure {
	head, data := capArgs()
	if _, _, errno := unix.RawSyscall(unix.SYS_CAPGET, head, data, 0); errno != 0 {
		return fail("drop", "capget", errno)
	}
	for i := range caps {
		caps[i].effective, caps[i].inheritable = caps[i].permitted, caps[i].permitted
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_CAPSET, head, data, 0); errno != 0 {
		return fail("drop", "capset", errno)
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if caps[c/32].permitted&(1<<(c%32)) != 0 {
			if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
				return fail("drop", "ambient", err)
			}
		}
	}
	return nil
}
