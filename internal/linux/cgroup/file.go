package cgroup

import (
	"errors"

	"golang.org/x/sys/unix"
)

// The files here are read and written with bare system calls: package os would
// register each with the poller, since cgroup files can be polled.

// readFile reads a file of the kernel's, relative to dir.
func readFile(dir int, name string) (string, error) {
	fd, err := open(dir, name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var small [4096]byte
	buf, n := small[:], 0
	for {
		if n == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		var got int
		err := retry(func() (err error) { got, err = unix.Read(fd, buf[n:]); return err })
		if err != nil {
			return "", err
		}
		if got == 0 {
			return string(buf[:n]), nil
		}
		n += got
	}
}

// writeFile writes text with one write, which is one command to the kernel.
func writeFile(dir int, name, text string) error {
	fd, err := open(dir, name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return retry(func() error { _, err := unix.Write(fd, []byte(text)); return err })
}

func open(dir int, name string, flags int) (fd int, err error) {
	err = retry(func() (err error) { fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0); return err })
	return fd, err
}

// retry repeats what a signal interrupted. Go's scheduler sends signals, and setting
// a memory limit does end with EINTR (mem_cgroup_resize_max).
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
