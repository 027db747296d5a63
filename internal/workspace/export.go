package workspace

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/paths"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// The marks of the OCI image layer format.
const (
	whiteoutPrefix = ".wh."
	opaqueMark     = ".wh..wh..opq"
)

// Export writes the changes as a tar in the OCI image layer format: deleted files
// become empty files with the prefix ".wh.". Sockets, devices and the set-user-id
// and set-group-id bits are left out: whoever unpacks the archive as root must not
// get what the program inside could not have made itself. Attributes are left out
// too. The sandbox must have ended.
func (w *Workspace) Export(out io.Writer) error {
	x := &exporter{tar: tar.NewWriter(out)}
	err := w.walk(x)
	if err == nil {
		err = x.tar.Close()
	}
	return fail("export", w.rec.ID, err)
}

// exporter writes what it visits.
type exporter struct{ tar *tar.Writer }

func (x *exporter) hidden(_, _ *os.File, path string, marked bool) error {
	if !marked {
		return nil // the mark of the directory above holds for all below
	}
	if path == "" {
		return x.mark(opaqueMark)
	}
	return x.mark(path + "/" + opaqueMark)
}

func (x *exporter) mark(path string) error {
	return x.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Format: tar.FormatPAX})
}

func (x *exporter) entry(upper, lower *os.File, path, name string, st *unix.Stat_t, xw bool) error {
	// Also of a deleted file: the mark for ".wh..opq" would be that of an opaque
	// directory, which deletes all the files beside it.
	if strings.HasPrefix(name, whiteoutPrefix) {
		return &sandbox.Error{Code: sandbox.CodeRefused, Op: "export", Step: "workspace",
			Err:  fmt.Errorf("a file is called %q: in an archive that would delete other files", path),
			Hint: "rename it, in the project too if it comes from there"}
	}
	if isWhiteout(upper, name, st, xw) {
		dir, name := splitDir(path)
		if dir == "." {
			return x.mark(whiteoutPrefix + name)
		}
		return x.mark(dir + "/" + whiteoutPrefix + name)
	}
	h := &tar.Header{Name: path, Mode: int64(st.Mode & 0o1777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(st.Mtim.Unix()), Format: tar.FormatPAX}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, path+"/"
	case unix.S_IFLNK:
		target, err := paths.Readlink(int(upper.Fd()), name)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFREG:
		return x.file(upper, name, st, h)
	default:
		return nil
	}
	return x.tar.WriteHeader(h)
}

func (x *exporter) tooDeep(_ *os.File, path, _ string, _ *unix.Stat_t) error {
	return &sandbox.Error{Code: sandbox.CodeRefused, Op: "export", Step: "workspace",
		Err:  fmt.Errorf("%.40s… is more than %d directories deep", path, deepest),
		Hint: "remove it inside"}
}

// file writes a regular file with the size that it has when it is opened.
func (x *exporter) file(dir *os.File, name string, st *unix.Stat_t, h *tar.Header) error {
	f, err := openAnyFile(dir, name, st.Mode&0o7777)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := x.tar.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(x.tar, io.LimitReader(f, h.Size))
	if err == nil && n < h.Size {
		err = fmt.Errorf("%s became shorter while it was read", h.Name)
	}
	return err
}

// openAnyFile opens a file of the layer to read even if the program took our
// permission away. mode, all twelve bits of it, is put back.
func openAnyFile(dir *os.File, name string, mode uint32) (*os.File, error) {
	f, err := paths.OpenRegular(int(dir.Fd()), name)
	if !errors.Is(err, os.ErrPermission) {
		return f, err
	}
	if err := unix.Fchmodat(int(dir.Fd()), name, mode|0o400, 0); err != nil {
		return nil, err
	}
	defer unix.Fchmodat(int(dir.Fd()), name, mode, 0)
	return paths.OpenRegular(int(dir.Fd()), name)
}
