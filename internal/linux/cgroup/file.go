package cgroup

import (
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/procfs"
)

// The files here are read and written with bare system calls: see package procfs.
// Setting a memory limit does end with EINTR (mem_cgroup_resize_max).

// writeFile writes text with one write, which is one command to the kernel.
func writeFile(dir int, name, text string) error {
	fd, err := open(dir, name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return procfs.Retry(func() error { _, err := unix.Write(fd, []byte(text)); return err })
}

func open(dir int, name string, flags int) (fd int, err error) {
	err = procfs.Retry(func() (err error) { fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0); return err })
	return fd, err
}
