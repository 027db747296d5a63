package workspace

import (
	"errors"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/paths"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// visitor sees the entries of an upper layer, parents first.
type visitor interface {
	// entry is called for each entry. upper is its directory in the layer, lower the
	// same directory of the project, hidden or not, nil if there is none to read.
	entry(upper, lower *os.File, path, name string, st *unix.Stat_t, xw bool) error
	// hidden is called for a directory in which nothing of lower, the same directory
	// of the project, shows. marked tells the one that was made anew from those in it.
	hidden(upper, lower *os.File, path string, marked bool) error
	// tooDeep is called for a directory that is not looked into.
	tooDeep(lower *os.File, path, name string, st *unix.Stat_t) error
}

// deepest is how many levels of directories are looked into. Each takes two
// descriptors; a program that nests more does it to use ours up. What lies deeper
// counts as one change: the directory that holds it.
const deepest = 300

// walk visits the upper layer beside the project.
func (w *Workspace) walk(v visitor) error {
	upper, closeUpper, err := w.openUpper()
	if err != nil {
		return err
	}
	defer closeUpper()
	lower, err := os.Open(w.rec.Project)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		lower = nil // the project is gone: everything counts as added
	} else {
		defer lower.Close()
	}
	return walkDir(v, upper, lower, level{})
}

// openUpper opens the layer to read. Its own mode is the program's too: chmod 0 of the
// project's directory reaches it.
func (w *Workspace) openUpper() (upper *os.File, closeUpper func(), err error) {
	if upper, err = os.Open(w.UpperDir()); err == nil {
		return upper, func() { upper.Close() }, nil
	} else if !errors.Is(err, fs.ErrPermission) {
		return nil, nil, err
	}
	parent, err := os.Open(w.dir)
	if err != nil {
		return nil, nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstatat(int(parent.Fd()), sandbox.LayerUpper, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		upper, closeUpper, err = openAnyDir(parent, sandbox.LayerUpper, &st)
	}
	if err != nil {
		parent.Close()
		return nil, nil, err
	}
	return upper, func() { closeUpper(); parent.Close() }, nil
}

// level is where in the layer a directory is.
type level struct {
	path   string // "" for the root
	depth  int
	hidden bool // below a directory that was made anew
}

// walkDir visits the entries of one directory of the layer.
func walkDir(v visitor, upper, lower *os.File, at level) error {
	mark := xattr(upper, "user.overlay.opaque")
	marked := mark == "y" && !at.hidden
	// Overlayfs looks for nothing of the lower below an opaque directory, marked or not.
	at.hidden = at.hidden || marked
	if at.hidden && lower != nil {
		if err := v.hidden(upper, lower, at.path, marked); err != nil {
			return err
		}
	}
	names, err := upper.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		path := join(at.path, name)
		var st unix.Stat_t
		if err := unix.Fstatat(int(upper.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &fs.PathError{Op: "stat", Path: path, Err: err}
		}
		if err := v.entry(upper, lower, path, name, &st, mark == "x"); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		if at.depth == deepest {
			err = v.tooDeep(lower, path, name, &st)
		} else {
			err = walkInto(v, upper, lower, name, &st, level{path, at.depth + 1, at.hidden})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// walkInto visits the directory name of upper, which is at the level at.
func walkInto(v visitor, upper, lower *os.File, name string, st *unix.Stat_t, at level) error {
	sub, closeSub, err := openAnyDir(upper, name, st)
	if err != nil {
		return err
	}
	defer closeSub()
	var below *os.File
	if lower != nil {
		below, err = paths.OpenDir(int(lower.Fd()), name)
		switch {
		case err == nil:
			defer below.Close()
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
			below = nil // not a directory there, a link for example: it is hidden by ours
		case errors.Is(err, fs.ErrPermission):
			// The project's directory is closed to its owner, which the program could
			// change for itself. It is not ours to open up: what is in it is unknown,
			// and what the layer has counts as added.
			below = nil
		default:
			return err
		}
	}
	return walkDir(v, sub, below, at)
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
