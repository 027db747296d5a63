// Package procfs reads files that the kernel writes: of /proc, and of the cgroup file
// systems. Package os would register them with the poller, and reads in small pieces,
// each of which costs the kernel a look at the whole again.
package procfs

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadFile reads the file name, relative to the directory dir, to its end.
func ReadFile(dir int, name string) (string, error) {
	var fd int
	err := Retry(func() (err error) {
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buf, n := make([]byte, 16<<10), 0
	for {
		if n == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		var got int
		err := Retry(func() (err error) { got, err = unix.Read(fd, buf[n:]); return err })
		if err != nil {
			return "", err
		}
		if got == 0 {
			return string(buf[:n]), nil
		}
		n += got
	}
}

// Retry repeats what a signal interrupted: Go's scheduler sends signals.
func Retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Unescape undoes the octal escapes of mountinfo (proc_pid_mountinfo(5)): of space, tab,
// line end and backslash. There are no others (fs/proc_namespace.c, mangle).
func Unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
