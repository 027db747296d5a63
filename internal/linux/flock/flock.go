// Package flock takes locks on open files. They belong to the open file: a process
// that ends, however it ends, gives them up.
package flock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned by the Try functions when somebody else holds the lock.
var ErrLocked = unix.EWOULDBLOCK

// Shared waits for a lock that excludes only exclusive ones.
func Shared(f *os.File) error { return lock(f, unix.LOCK_SH) }

// Exclusive waits for a lock that excludes all others.
func Exclusive(f *os.File) error { return lock(f, unix.LOCK_EX) }

// TryShared is Shared without waiting.
func TryShared(f *os.File) error { return lock(f, unix.LOCK_SH|unix.LOCK_NB) }

// TryExclusive is Exclusive without waiting.
func TryExclusive(f *os.File) error { return lock(f, unix.LOCK_EX|unix.LOCK_NB) }

// lock repeats flock(2) when a signal interrupts it.
func lock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
