// Package paths opens files beneath a directory without ever following a symbolic
// link, for trees that somebody hostile wrote.
package paths

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// OpenBeneath opens rel, a relative slash-separated path, beneath dirfd. No symbolic
// or magic link in it is followed and no ".." leaves dirfd. Close-on-exec is set.
func OpenBeneath(dirfd int, rel string, flags int) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	// A rename elsewhere on the system gives EAGAIN (openat2(2)): try again, but not
	// for ever, as somebody may be renaming in a loop on purpose.
	for range 128 {
		fd, err := unix.Openat2(dirfd, rel, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// OpenDir opens rel beneath dirfd as a directory to read.
func OpenDir(dirfd int, rel string) (*os.File, error) {
	fd, err := OpenBeneath(dirfd, rel, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: rel, Err: err}
	}
	return os.NewFile(uintptr(fd), rel), nil
}

// OpenRegular opens the regular file name in dirfd to read. A fifo or device that
// has taken its place is not waited for and not woken: it is refused.
func OpenRegular(dirfd int, name string) (*os.File, error) {
	fd, err := OpenBeneath(dirfd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.EINVAL
	}
	if err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Readlink returns the target of the symbolic link name in dirfd.
func Readlink(dirfd int, name string) (string, error) {
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		n, err := unix.Readlinkat(dirfd, name, buf)
		if err != nil {
			return "", &os.PathError{Op: "readlink", Path: name, Err: err}
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
}

// RemoveAll removes name in dirfd with everything below it, however deep, without
// following links. Directories of ours without permissions are opened up first. That
// name does not exist is no error.
func RemoveAll(dirfd int, name string) error {
	err := unix.Unlinkat(dirfd, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	if err = unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR); err == nil {
		return nil
	}
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		err = empty(dirfd, name)
		if err == nil {
			err = unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR)
		}
	}
	if err != nil {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// empty removes what is in the directory name.
func empty(dirfd int, name string) error {
	dir, err := OpenDir(dirfd, name)
	if errors.Is(err, unix.EACCES) {
		if err = unix.Fchmodat(dirfd, name, 0o700, 0); err != nil {
			return err
		}
		dir, err = OpenDir(dirfd, name)
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	unix.Fchmod(int(dir.Fd()), 0o700) // without write permission nothing could go
	for {
		names, err := dir.Readdirnames(1024)
		for _, n := range names {
			if err := RemoveAll(int(dir.Fd()), n); err != nil {
				return err
			}
		}
		if len(names) == 0 {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		// What is left after removals is found by starting over.
		if _, err := dir.Seek(0, 0); err != nil {
			return err
		}
	}
}
