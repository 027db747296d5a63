package ns

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// exec calls start with a path under which the guest program can be executed: its
// file's or, where that lies on a mount that executes nothing, that of a copy in
// memory.
func (c *creation) exec(start func(program string) error) error {
	if c.copied == 0 {
		err := start(c.program)
		if !errors.Is(err, unix.EACCES) || !onNoexec(c.program) {
			return err
		}
		if c.copied, err = inMemory(c.program); err != nil {
			c.copied = 0
			return fmt.Errorf("%s lies on a file system that executes nothing: %w", c.program, err)
		}
	}
	// Exec through /proc/self/fd fails now and then with EACCES when several processes
	// do it at once (seen with Linux 6.18), and succeeds when repeated.
	err := error(unix.EACCES)
	for try := 0; try < 10 && errors.Is(err, unix.EACCES); try++ {
		err = start("/proc/self/fd/" + strconv.Itoa(c.copied))
	}
	return err
}

// onNoexec reports whether path lies on a mount that executes nothing.
func onNoexec(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_NOEXEC != 0
}

// inMemory copies the guest program to a sealed memfd, which nobody can write to,
// and returns it. That costs more than the rest of a start, so it is only for hosts
// whose state directory lies on a mount that executes nothing.
func inMemory(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return -1, err
	}
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("ringwall-guest", flags|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3, where memfds are executable anyway
		fd, err = unix.MemfdCreate("ringwall-guest", flags)
	}
	if err != nil {
		return -1, err
	}
	for len(data) > 0 && err == nil {
		var n int
		if n, err = unix.Write(fd, data); err == nil {
			data = data[n:]
		}
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
