package workspace

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/paths"
	"github.com/ringwall/ringwall/internal/sandbox"
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

// visitor sees the entries of an upper layer, parents first.
type visitor interface {
	// entry is called for each entry. upper is its directory in the layer, lower the
	// same directory of the project, nil if it is not there or hidden.
	entry(upper, lower *os.File, path, name string, st *unix.Stat_t, xw bool) error
	// opaque is called for a directory that hides what the project has there.
	opaque(upper, lower *os.File, path string) error
	// tooDeep is called for a directory that is not looked into.
	tooDeep(lower *os.File, path, name string, st *unix.Stat_t) error
}

// deepest is how many levels of directories are looked into. Each takes two
// descriptors; a program that nests more does it to use ours up. What lies deeper
// counts as one change: the directory that holds it.
const deepest = 300

// walk visits the upper layer beside the project.
func (w *Workspace) walk(v visitor) error {
	upper, err := os.Open(filepath.Join(w.LayersDir(), sandbox.LayerUpper))
	if err != nil {
		return err
	}
	defer upper.Close()
	lower, err := os.Open(w.rec.Project)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		lower = nil // the project is gone: everything counts as added
	} else {
		defer lower.Close()
	}
	return walkDir(v, upper, lower, "", 0)
}

// walkDir visits the entries of one directory of the layer.
func walkDir(v visitor, upper, lower *os.File, path string, depth int) error {
	mark := xattr(upper, "user.overlay.opaque")
	if mark == "y" {
		if lower != nil {
			if err := v.opaque(upper, lower, path); err != nil {
				return err
			}
		}
		lower = nil
	}
	names, err := upper.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(int(upper.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &fs.PathError{Op: "stat", Path: join(path, name), Err: err}
		}
		if err := v.entry(upper, lower, join(path, name), name, &st, mark == "x"); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		if depth == deepest {
			if err := v.tooDeep(lower, join(path, name), name, &st); err != nil {
				return err
			}
			continue
		}
		if err := walkInto(v, upper, lower, path, name, &st, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func walkInto(v visitor, upper, lower *os.File, path, name string, st *unix.Stat_t, depth int) error {
	sub, closeSub, err := openAnyDir(upper, name, st)
	if err != nil {
		return err
	}
	defer closeSub()
	var below *os.File
	if lower != nil {
		// Not a directory there, a link for example: it is hidden by ours.
		if below, err = paths.OpenDir(int(lower.Fd()), name); err == nil {
			defer below.Close()
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
			return err
		} else {
			below = nil
		}
	}
	return walkDir(v, sub, below, join(path, name), depth)
}

// openAnyDir opens a directory of the layer even if the program took our permission
// away. closeDir closes it and puts its mode back.
func openAnyDir(parent *os.File, name string, st *unix.Stat_t) (dir *os.File, closeDir func(), err error) {
	closeDir = func() { dir.Close() }
	if st.Mode&0o500 != 0o500 && os.Geteuid() != 0 {
		if err := unix.Fchmodat(int(parent.Fd()), name, st.Mode&0o7777|0o700, 0); err != nil {
			return nil, nil, &fs.PathError{Op: "chmod", Path: name, Err: err}
		}
		closeDir = func() {
			unix.Fchmodat(int(parent.Fd()), name, st.Mode&0o7777, 0)
			dir.Close()
		}
	}
	dir, err = paths.OpenDir(int(parent.Fd()), name)
	return dir, closeDir, err
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

// opaque lists what the project has in a directory that was made anew and that the
// layer does not have.
func (c *comparison) opaque(upper, lower *os.File, path string) error {
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
