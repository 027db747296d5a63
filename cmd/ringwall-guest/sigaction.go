package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction sets the disposition of sig; it fails only for signals that have none.
func sigaction(sig uintptr, act *kernelSigaction) {
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(act)), 0, 8, 0, 0)
}
