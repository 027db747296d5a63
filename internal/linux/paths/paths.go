// Package paths opens files beneath a directory without ever following a symbolic
// link, for trees that somebody hostile wrote.
package paths

import (
	"errors"
	"io"
	"os"
	"strconv"

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

// RemoveAll removes name in dirfd with everything below it, without following links.
// Directories of ours without permissions are opened up first. That name does not
// exist is no error.
//
// However deep the tree is, a few descriptors are enough: what is not empty is not
// descended into but moved up, next to name, and taken from there.
func RemoveAll(dirfd int, name string) error {
	r := remover{top: dirfd}
	for r.pending = []string{name}; len(r.pending) > 0; {
		last := len(r.pending) - 1
		next := r.pending[last]
		r.pending = r.pending[:last]
		if err := r.remove(next); err != nil {
			return &os.PathError{Op: "remove", Path: name, Err: err}
		}
	}
	return nil
}

// remover empties directories that lie directly in top.
type remover struct {
	top     int
	pending []string // names in top that are still to go
	moved   int
}

// remove removes the entry name of top. Directories below it are added to pending.
func (r *remover) remove(name string) error {
	gone, err := unlink(r.top, name)
	if gone || err != nil {
		return err
	}
	dir, err := r.open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(1024)
		for _, n := range names {
			gone, err := unlink(int(dir.Fd()), n)
			if err == nil && !gone {
				err = r.moveUp(int(dir.Fd()), n)
			}
			if err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		// What removals have hidden from the listing is found by starting over.
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	return unix.Unlinkat(r.top, name, unix.AT_REMOVEDIR)
}

// unlink removes a file or an empty directory. gone is false, without an error, for a
// directory that is not empty.
func unlink(dirfd int, name string) (gone bool, err error) {
	err = unix.Unlinkat(dirfd, name, 0)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		err = unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR)
	}
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return true, nil
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		return false, nil
	default:
		return false, err
	}
}

// open opens the directory name of top for emptying.
func (r *remover) open(name string) (*os.File, error) {
	dir, err := OpenDir(r.top, name)
	if errors.Is(err, unix.EACCES) {
		if err = unix.Fchmodat(r.top, name, 0o700, 0); err == nil {
			dir, err = OpenDir(r.top, name)
		}
	}
	if err != nil {
		return nil, err
	}
	// Without write permission nothing could go; if it is not ours, what follows tells.
	unix.Fchmod(int(dir.Fd()), 0o700)
	return dir, nil
}

// moveUp moves the directory name of dirfd into top.
func (r *remover) moveUp(dirfd int, name string) error {
	for range 1000 { // names that are taken
		r.moved++
		up := ".removing-" + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(r.moved)
		err := unix.Renameat2(dirfd, name, r.top, up, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EACCES) { // a directory that moves must be writable itself
			if err = unix.Fchmodat(dirfd, name, 0o700, 0); err == nil {
				err = unix.Renameat2(dirfd, name, r.top, up, unix.RENAME_NOREPLACE)
			}
		}
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err == nil {
			r.pending = append(r.pending, up)
		}
		return err
	}
	return unix.EEXIST
}
