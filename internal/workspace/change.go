package workspace

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/paths"
)

// Kind says what happened to a file.
type Kind byte

// The kinds of changes, as they are printed.
const (
	Added    Kind = 'A'
	Modified Kind = 'M'
	Deleted  Kind = 'D'
)

// Change is one difference between a project and a workspace. A directory counts
// itself only if it was removed whole, has other permissions, or is new and empty;
// else its contents tell.
type Change struct {
	Kind Kind
	Path string      // relative to the project, slash separated; bytes as on disk
	Mode fs.FileMode // type and permissions, in the project if Kind is Deleted
	Size int64       // bytes of a regular file
}

// Count returns how many changes of each kind there are.
func Count(changes []Change) (added, modified, deleted int) {
	for _, c := range changes {
		switch c.Kind {
		case Added:
			added++
		case Modified:
			modified++
		case Deleted:
			deleted++
		}
	}
	return added, modified, deleted
}

// Changes compares the workspace with its project and returns the differences,
// sorted by path. The sandbox must have ended.
func (w *Workspace) Changes() ([]Change, error) {
	c := &comparison{}
	err := w.walk(c)
	if err != nil {
		return nil, fail("read", w.rec.ID, err)
	}
	slices.SortFunc(c.changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return c.changes, nil
}

// comparison collects Changes.
type comparison struct{ changes []Change }

func (c *comparison) add(k Kind, path string, st *unix.Stat_t) {
	c.changes = append(c.changes, Change{Kind: k, Path: path, Mode: fileMode(st.Mode), Size: sizeOf(st)})
}

func (c *comparison) entry(upper, lower *os.File, path, name string, st *unix.Stat_t, xw bool) error {
	var old unix.Stat_t
	had := lower != nil && unix.Fstatat(int(lower.Fd()), name, &old, unix.AT_SYMLINK_NOFOLLOW) == nil
	if isWhiteout(upper, name, st, xw) {
		if had {
			c.add(Deleted, path, &old)
		}
		return nil
	}
	if !had {
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			if empty, err := isEmptyDir(upper, name, st); err != nil || !empty {
				return err // what is in it tells
			}
		}
		c.add(Added, path, st)
		return nil
	}
	same, err := sameFile(upper, lower, name, st, &old)
	if err == nil && !same {
		c.add(Modified, path, st)
	}
	return err
}

// hidden lists what the project has in a directory that was made anew and that the
// layer does not have.
func (c *comparison) hidden(upper, lower *os.File, path string, _ bool) error {
	names, err := lower.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		var st, old unix.Stat_t
		if unix.Fstatat(int(lower.Fd()), name, &old, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		err := unix.Fstatat(int(upper.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			c.add(Deleted, join(path, name), &old)
		}
	}
	return nil
}

func (c *comparison) tooDeep(lower *os.File, path, name string, st *unix.Stat_t) error {
	if n := len(c.changes); n > 0 && c.changes[n-1].Path == path {
		return nil // its own difference is a change already
	}
	kind := Added
	var old unix.Stat_t
	if lower != nil && unix.Fstatat(int(lower.Fd()), name, &old, unix.AT_SYMLINK_NOFOLLOW) == nil {
		kind = Modified
	}
	c.add(kind, path, st)
	return nil
}

// sameFile reports whether an entry is no change: copied up and then left as it was.
func sameFile(upper, lower *os.File, name string, st, old *unix.Stat_t) (bool, error) {
	if st.Mode != old.Mode {
		return false, nil
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return true, nil
	case unix.S_IFLNK:
		a, err := paths.Readlink(int(upper.Fd()), name)
		if err != nil {
			return false, err
		}
		b, err := paths.Readlink(int(lower.Fd()), name)
		return a == b, err
	case unix.S_IFREG:
		if st.Size != old.Size {
			return false, nil
		}
		return sameContent(upper, lower, name)
	default: // fifos, sockets, devices
		return st.Rdev == old.Rdev, nil
	}
}

func sameContent(upper, lower *os.File, name string) (bool, error) {
	a, err := paths.OpenRegular(int(upper.Fd()), name)
	if errors.Is(err, fs.ErrPermission) {
		return false, nil // its mode was kept, so the project's is unreadable to us too
	}
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := paths.OpenRegular(int(lower.Fd()), name)
	if err != nil {
		return false, nil // changed underneath: then it differs
	}
	defer b.Close()
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if string(bufA[:n]) != string(bufB[:m]) {
			return false, nil
		}
		if errA != nil || errB != nil {
			return ended(errA) && ended(errB), nil
		}
	}
}

func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
