package workspace

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/paths"
)

// isWhiteout reports whether an entry says that the project's file is gone. A program
// cannot forge one: through the overlay, device 0:0 cannot be made and attributes
// called user.overlay.* do not reach the layer.
func isWhiteout(dir *os.File, name string, st *unix.Stat_t, xw bool) bool {
	if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
		return true
	}
	// In a directory marked "x" also an empty file with an attribute (Linux 6.7).
	if !xw || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != 0 {
		return false
	}
	f, err := paths.OpenRegular(int(dir.Fd()), name)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = unix.Fgetxattr(int(f.Fd()), "user.overlay.whiteout", nil)
	return err == nil
}

// xattr returns a short attribute of an open file, or "".
func xattr(f *os.File, name string) string {
	var buf [8]byte
	n, err := unix.Fgetxattr(int(f.Fd()), name, buf[:])
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

func isEmptyDir(parent *os.File, name string, st *unix.Stat_t) (bool, error) {
	dir, closeDir, err := openAnyDir(parent, name, st)
	if err != nil {
		return false, err
	}
	defer closeDir()
	names, err := dir.Readdirnames(1)
	return len(names) == 0, ignoreEOF(err)
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

func sizeOf(st *unix.Stat_t) int64 {
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		return st.Size
	}
	return 0
}

// fileMode translates st_mode.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	case unix.S_IFIFO:
		m |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		m |= fs.ModeSocket
	case unix.S_IFBLK:
		m |= fs.ModeDevice
	case unix.S_IFCHR:
		m |= fs.ModeDevice | fs.ModeCharDevice
	}
	if mode&unix.S_ISUID != 0 {
		m |= fs.ModeSetuid
	}
	if mode&unix.S_ISGID != 0 {
		m |= fs.ModeSetgid
	}
	if mode&unix.S_ISVTX != 0 {
		m |= fs.ModeSticky
	}
	return m
}
