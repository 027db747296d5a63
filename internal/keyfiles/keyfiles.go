// Package keyfiles finds the files of a project that look as if they held keys, tokens
// or passwords, by their names and, where names say too little, their first bytes.
package keyfiles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Found is a file, or a directory with all that is in it.
type Found struct {
	Path string // below the directory that was searched
	Why  string
}

// ErrTooMany says that there are more key-like files than were to be found.
var ErrTooMany = errors.New("too many")

// deepest is how many levels of directories are searched. What lies deeper is hidden
// whole: a program could have been told to look just there.
const deepest = 100

// skipped directories hold what package managers put there, thousands of fixtures
// among them, and git's objects, which have no names.
var skipped = []string{"node_modules", ".venv", "venv"}

// Find returns what is key-like below dir, at most max of them and ErrTooMany beyond. No
// symbolic link is followed and nothing is opened but directories and files whose
// names fit. A directory that the caller cannot read is passed over: a program in the
// sandbox has no more rights. node_modules, .venv, venv and .git/objects are not
// searched.
func Find(ctx context.Context, dir string, max int) ([]Found, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	s := &search{ctx: ctx, max: max, buf: make([]byte, 32<<10)}
	if err := s.dir(fd, "", "", 0); err != nil {
		return nil, err
	}
	slices.SortFunc(s.found, func(a, b Found) int { return strings.Compare(a.Path, b.Path) })
	return s.found, nil
}

// search is a walk in progress.
type search struct {
	ctx   context.Context
	max   int
	buf   []byte
	found []Found
}

func (s *search) add(path, why string) error {
	if len(s.found) == s.max {
		return fmt.Errorf("%w: more than %d files look as if they held keys", ErrTooMany, s.max)
	}
	s.found = append(s.found, Found{path, why})
	return nil
}

// dir searches the directory fd, which it closes. path is its own, name the last
// element of it.
func (s *search) dir(fd int, path, name string, depth int) error {
	defer unix.Close(fd)
	if err := s.ctx.Err(); err != nil {
		return err
	}
	var below []string // visited when the buffer is free
	for {
		n, err := unix.ReadDirent(fd, s.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			break // removed while we read: then there is nothing to hide
		}
		for rest := s.buf[:n]; len(rest) > 0; {
			var entry string
			var kind byte
			entry, kind, rest = next(rest)
			if entry == "" || entry == "." || entry == ".." {
				continue
			}
			if kind == unix.DT_UNKNOWN {
				kind = kindOf(fd, entry)
			}
			switch kind {
			case unix.DT_DIR:
				if r, ok := ruleFor(name, entry); ok && r.dir {
					if err := s.add(join(path, entry), r.why); err != nil {
						return err
					}
				} else if !slices.Contains(skipped, entry) && !(name == ".git" && entry == "objects") {
					below = append(below, entry)
				}
			case unix.DT_REG:
				if r, ok := ruleFor(name, entry); ok && !r.dir && holds(fd, entry, r.holds) {
					if err := s.add(join(path, entry), r.why); err != nil {
						return err
					}
				}
			}
		}
	}
	for _, entry := range below {
		if depth == deepest {
			if err := s.add(join(path, entry), "too deep to be searched"); err != nil {
				return err
			}
			continue
		}
		sub, err := unix.Openat(fd, entry, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) {
			return &os.PathError{Op: "open", Path: join(path, entry), Err: err}
		}
		if err != nil {
			continue // gone, swapped for something else, or closed to us
		}
		if err := s.dir(sub, join(path, entry), entry, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// next cuts one struct linux_dirent64 (getdents(2)) off b.
func next(b []byte) (name string, kind byte, rest []byte) {
	const header = 19 // inode 8, offset 8, length 2, type 1
	if len(b) < header {
		return "", 0, nil
	}
	size := int(b[16]) | int(b[17])<<8
	if size < header || size > len(b) {
		return "", 0, nil
	}
	text := b[header:size]
	for i, c := range text {
		if c == 0 {
			text = text[:i]
			break
		}
	}
	return string(text), b[18], b[size:]
}

// kindOf asks for the type of an entry where the file system does not tell.
func kindOf(dir int, name string) byte {
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return unix.DT_UNKNOWN
	}
	return byte(st.Mode >> 12) // IFTODT of dirent.h
}

// holds reports whether one of texts is in the first bytes of the file. A file that we
// cannot read counts as one that does.
func holds(dir int, name string, texts []string) bool {
	if len(texts) == 0 {
		return true
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return false
	}
	if err != nil {
		return true
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return true
	}
	head, err := io.ReadAll(io.LimitReader(f, 16<<10))
	if err != nil {
		return true
	}
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(string(head), t) })
}
