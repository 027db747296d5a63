package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/procfs"
)

// tree is an existing group of ours with all that may be below it, held by
// descriptors: nothing that is moved or replaced meanwhile can lead us elsewhere.
type tree struct {
	parent, fd int
	path, name string
}

// openTree opens a group by its path, which may come from an old record: it must be
// a directory with our prefix in a cgroup file system. One that does not exist is
// fs.ErrNotExist, anything else ErrRefused.
func openTree(full string) (*tree, error) {
	t := &tree{parent: -1, fd: -1, path: full, name: path.Base(full)}
	if !path.IsAbs(full) || path.Clean(full) != full || !strings.HasPrefix(t.name, Prefix) || t.name == Prefix {
		return nil, fmt.Errorf("%q: %w", full, ErrRefused)
	}
	// The directory above must be of the file system too: a mount point with our
	// prefix is not a group of ours.
	err := t.open(&t.parent, unix.AT_FDCWD, path.Dir(full))
	if err == nil {
		err = t.open(&t.fd, t.parent, t.name)
	}
	if err != nil {
		t.close()
		return nil, fmt.Errorf("%s: %w", full, err)
	}
	return t, nil
}

func (t *tree) open(to *int, at int, name string) error {
	fd, err := open(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return fs.ErrNotExist
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case err != nil:
		return err
	}
	*to = fd
	var st unix.Statfs_t
	if err := procfs.Retry(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
		return err
	}
	if _, ok := cgroupType(&st); !ok {
		return fmt.Errorf("%w: no cgroup file system", ErrRefused)
	}
	return nil
}

func (t *tree) close() {
	for _, fd := range []int{t.fd, t.parent} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// descend calls do for every group below the one that fd refers to, deepest first.
func descend(fd int, do func(parent int, name string, fd int) error) error {
	names, err := children(fd)
	if err != nil {
		return err
	}
	for _, name := range names {
		child, err := open(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		if err = descend(child, do); err == nil {
			err = do(fd, name, child)
		}
		unix.Close(child)
		if err != nil {
			return err
		}
	}
	return nil
}

// children lists the groups directly in the one that fd refers to.
func children(fd int) (names []string, err error) {
	var st unix.Stat_t
	if err := procfs.Retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return nil, err
	}
	if st.Nlink <= 2 { // kernfs counts sub-directories there, and files are many
		return nil, nil
	}
	again, err := open(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(again), ".")
	defer f.Close()
	entries, err := f.ReadDir(-1)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) { // removed meanwhile
		err = nil
	}
	return names, err
}
