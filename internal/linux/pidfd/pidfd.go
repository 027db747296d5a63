// Package pidfd names processes in ways that pid reuse cannot confuse: by a
// descriptor while we hold one, by pid and start time in records.
package pidfd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Kill sends SIGKILL to the process that fd refers to. One that has ended is not
// an error.
func Kill(fd int) error {
	err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// Reap waits until the child that fd refers to has ended and collects it. A child
// that somebody else has collected is not an error.
func Reap(fd int) error {
	for {
		err := unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECHILD):
			return nil
		default:
			return err
		}
	}
}

// StartTime returns when process pid started, in clock ticks since boot: field 22
// of /proc/PID/stat (proc_pid_stat(5)). Together with the pid it names a process
// for as long as the system runs. It returns os.ErrNotExist if there is none.
func StartTime(pid int) (uint64, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			err = os.ErrNotExist
		}
		return 0, err
	}
	// Field 2, the name, may contain spaces and parentheses: count from its end.
	if i := bytes.LastIndexByte(raw, ')'); i >= 0 {
		if fields := bytes.Fields(raw[i+1:]); len(fields) > 19 {
			return strconv.ParseUint(string(fields[19]), 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/%d/stat: unexpected format", pid)
}

// KillRecorded ends the process that a record names by pid and start time, and
// waits for its end. A process that is gone, or whose pid has been reused, is left
// alone and is not an error.
func KillRecorded(pid int, start uint64) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// The descriptor is taken first: now the pid cannot change hands unnoticed.
	now, err := StartTime(pid)
	if errors.Is(err, os.ErrNotExist) || err == nil && now != start {
		return nil
	}
	if err != nil {
		return err
	}
	if err := Kill(fd); err != nil {
		return err
	}
	return AwaitEnd(fd, 5*time.Second) // in uninterruptible sleep it can outlast any
}

// AwaitEnd waits until the process that fd refers to has ended; its parent may be
// another process. PID 1 of a namespace takes all of the namespace with it.
func AwaitEnd(fd int, timeout time.Duration) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int(timeout.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n == 0:
			return errors.New("the process does not end: it may be blocked in the kernel")
		default:
			return nil
		}
	}
}
