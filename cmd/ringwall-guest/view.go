package main

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/guest"
)

// carryOut builds what the sandbox sees, Op by Op.
func (b *builder) carryOut() *failure {
	if b.omits("rootfs") {
		return nil
	}
	for i := range b.setup.Ops {
		op := &b.setup.Ops[i]
		if f := fail("view", op.Target, b.do(op)); f != nil {
			return f
		}
	}
	return nil
}

func (b *builder) do(op *guest.Op) error {
	path, err := relative(op.Target)
	if err != nil {
		return err
	}
	switch op.Kind {
	case guest.OpDir:
		return b.makeDir(path, op)
	case guest.OpFile:
		return b.makeFile(path, op)
	case guest.OpSymlink:
		if err := makeParents(path); err != nil {
			return err
		}
		return unix.Symlink(op.Data, path)
	case guest.OpBind:
		return b.bind(path, op)
	case guest.OpScratch:
		return b.scratch(path, op)
	case guest.OpOverlay:
		return b.overlay(path, op)
	case guest.OpMerge:
		return b.merge(path, op)
	case guest.OpProc:
		return b.mountNew(path, "proc", unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	case guest.OpDevpts:
		return b.mountNew(path, "devpts", unix.MOUNT_ATTR_NOEXEC, "ptmxmode", "0666", "mode", "0620")
	case guest.OpReadOnly:
		return b.freeze(path)
	case guest.OpMask:
		return b.mask(path)
	default:
		return errors.New("unknown kind of operation " + strconv.Itoa(int(op.Kind)))
	}
}

// relative turns an absolute clean path into one relative to the new root.
func relative(target string) (string, error) {
	if len(target) < 2 || target[0] != '/' {
		return "", errors.New("not an absolute path")
	}
	return target[1:], nil
}

// makeParents makes the directories above path where they are missing.
func makeParents(path string) error {
	for i, c := range []byte(path) {
		if c != '/' {
			continue
		}
		if err := unix.Mkdir(path[:i], 0o755); err != nil && err != unix.EEXIST {
			// Below something read-only EROFS comes before EEXIST: open tells.
			if _, e := statBeneath(path[:i]); e != nil {
				return err
			}
		}
	}
	return nil
}

// statBeneath returns the mode of what is at path; no symbolic link is followed.
func statBeneath(path string) (uint32, error) {
	fd, err := openBeneath(path)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return st.Mode, err
}

// mountPoint returns an O_PATH descriptor of a directory or an empty file at path,
// made if it is missing.
func mountPoint(path string, dir bool) (int, error) {
	fd, err := openBeneath(path)
	if err != unix.ENOENT {
		return fd, err
	}
	if err := makeParents(path); err != nil {
		return -1, err
	}
	if dir {
		err = unix.Mkdir(path, 0o755)
	} else {
		err = unix.Mknod(path, unix.S_IFREG|0o444, 0)
	}
	if err != nil {
		return -1, err
	}
	return openBeneath(path)
}

// attachAt puts a detached mount on path, a directory or file that is made if missing.
func attachAt(mount int, path string, dir bool) error {
	target, err := mountPoint(path, dir)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return attach(mount, target)
}

func (b *builder) makeDir(path string, op *guest.Op) error {
	if err := makeParents(path); err != nil {
		return err
	}
	if err := unix.Mkdir(path, uint32(op.Mode)); err != nil && err != unix.EEXIST {
		return err
	}
	return b.own(path, op)
}

func (b *builder) own(path string, op *guest.Op) error {
	if !op.Own {
		return nil
	}
	return unix.Lchown(path, b.setup.UID, b.setup.GID)
}

func (b *builder) makeFile(path string, op *guest.Op) error {
	if err := makeParents(path); err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(op.Mode))
	if err != nil {
		return err
	}
	data := []byte(op.Data)
	for len(data) > 0 && err == nil {
		var n int
		if n, err = unix.Write(fd, data); err == nil {
			data = data[n:]
		}
	}
	unix.Close(fd)
	if err != nil {
		return err
	}
	return b.own(path, op)
}

// take hands over source i, once.
func (b *builder) take(i int) (int, error) {
	if i < 0 || i >= len(b.sources) || b.sources[i] < 0 {
		return -1, unix.EBADF
	}
	fd := b.sources[i]
	b.sources[i] = -1
	return fd, nil
}

func (b *builder) bind(path string, op *guest.Op) error {
	src, err := b.take(op.Source)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	attrs := unix.MOUNT_ATTR_NODEV
	if op.Device {
		attrs = unix.MOUNT_ATTR_NOEXEC
	}
	if op.ReadOnly {
		attrs |= b.readOnly()
	}
	if err := b.setAttr(src, "", attrs, unix.AT_EMPTY_PATH|unix.AT_RECURSIVE); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return err
	}
	return attachAt(src, path, st.Mode&unix.S_IFMT == unix.S_IFDIR)
}

// scratch makes a writable place: a directory of the root's own tmpfs, mounted on
// itself so that it stays writable when the root becomes read-only. One tmpfs for
// all of them is cheaper than one each.
func (b *builder) scratch(path string, op *guest.Op) error {
	fd, err := mountPoint(path, true)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Chmod(path, uint32(op.Mode)); err != nil && err != unix.EROFS {
		return err
	} else if err == unix.EROFS {
		// The place lies in something given read-only: mount memory over it.
		return b.mountNew(path, "tmpfs", unix.MOUNT_ATTR_NODEV, "mode", "0"+strconv.FormatInt(int64(op.Mode), 8),
			"uid", strconv.Itoa(b.setup.UID), "gid", strconv.Itoa(b.setup.GID))
	}
	if err := b.own(path, op); err != nil {
		return err
	}
	m, err := clone(fd)
	if err != nil {
		return err
	}
	defer unix.Close(m)
	return attach(m, fd)
}

func (b *builder) mountNew(path, fstype string, attrs int, options ...string) error {
	if fstype == "proc" && b.omits("pidns") {
		return b.bindHostProc(path)
	}
	fd, err := newFS(fstype, b.attrs(attrs), options...)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return attachAt(fd, path, true)
}

// bindHostProc serves the control that has no PID namespace: a proc file system can
// be mounted only by who owns the PID namespace that it shows.
func (b *builder) bindHostProc(path string) error {
	return b.bind(path, &guest.Op{Source: len(b.sources) - 1})
}

// freeze makes what is at path read-only by mounting it on itself.
func (b *builder) freeze(path string) error {
	target, err := openBeneath(path)
	if err == unix.ENOENT {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(target)
	m, err := clone(target)
	if err != nil {
		return err
	}
	defer unix.Close(m)
	attrs := unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | b.readOnly()
	if err := b.setAttr(m, "", attrs, unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	return attach(m, target)
}

// mask hides what is at path behind an empty file or directory. Both are ours, in a
// root that we made: no image can put a link there (CVE-2025-31133).
func (b *builder) mask(path string) error {
	target, err := openBeneath(path)
	if err == unix.ENOENT {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(target)
	var st unix.Stat_t
	if err := unix.Fstat(target, &st); err != nil {
		return err
	}
	attrs := unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | b.readOnly()
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		m, err := newFS("tmpfs", b.attrs(attrs), "mode", "0555")
		if err != nil {
			return err
		}
		defer unix.Close(m)
		return attach(m, target)
	}
	// Unlike a directory, a file can be removed and still be opened.
	const cover = ".empty"
	if err := unix.Mknod(cover, unix.S_IFREG|0o444, 0); err != nil {
		return err
	}
	defer unix.Unlink(cover)
	src, err := openBeneath(cover)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	m, err := clone(src)
	if err != nil {
		return err
	}
	defer unix.Close(m)
	if err := b.setAttr(m, "", attrs, unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	return attach(m, target)
}

// stagingPoint is where sources hang that overlayfs needs by path. It is in the host's
// root, on a directory that every system has, and goes away with that.
const stagingPoint = "/sys"

// overlay shows a source with the changes of earlier programs over it and takes the
// changes of this one. Paths in its options are short and plain: they need no escaping
// and no length limit of fsconfig(2) (256 bytes) bites.
func (b *builder) overlay(path string, op *guest.Op) error {
	layers, err := b.stage(op.Layers)
	if err != nil {
		return err
	}
	lower, err := b.stage(op.Source)
	if err != nil {
		return err
	}
	if op.Data != "" {
		layers += "/" + strings.Trim(op.Data, "/")
	}
	fd, err := newFS("overlay", b.attrs(unix.MOUNT_ATTR_NODEV),
		// trusted.* attributes cannot be written in a user namespace.
		"userxattr", "", "lowerdir", lower, "upperdir", layers+"/upper", "workdir", layers+"/work")
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return attachAt(fd, path, true)
}

// merge shows a directory of a foreign root file system below the one that we made. What
// is ours hides what has its name there, whatever that is: a link at the place of
// /etc/resolv.conf or of a mount point is not followed but gone (CVE-2019-19921).
func (b *builder) merge(path string, op *guest.Op) error {
	lower, err := b.stage(op.Source)
	if err != nil {
		return err
	}
	ours, err := openBeneath(path)
	if err != nil {
		return err
	}
	defer unix.Close(ours)
	m, err := clone(ours)
	if err != nil {
		return err
	}
	defer unix.Close(m)
	upper := lower + "-ours"
	if err := unix.Mkdir(upper, 0o700); err != nil {
		return err
	}
	if err := unix.MoveMount(m, "", unix.AT_FDCWD, upper, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return err
	}
	fd, err := newFS("overlay", b.attrs(unix.MOUNT_ATTR_NODEV|b.readOnly()), "userxattr", "", "lowerdir", upper+":"+lower)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return attach(fd, ours)
}

// stage attaches a source in the host's root, once, and returns its path: overlayfs
// takes no detached mounts as layers before Linux 6.15.
func (b *builder) stage(source int) (string, error) {
	path := stagingPoint + "/" + strconv.Itoa(source)
	if b.staged[source] {
		return path, nil
	}
	if len(b.staged) == 0 {
		fd, err := newFS("tmpfs", b.attrs(unix.MOUNT_ATTR_NODEV), "mode", "0700")
		if err != nil {
			return "", err
		}
		defer unix.Close(fd)
		if err := unix.MoveMount(fd, "", unix.AT_FDCWD, stagingPoint, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return "", err
		}
	}
	src, err := b.take(source)
	if err != nil {
		return "", err
	}
	defer unix.Close(src)
	if err := b.setAttr(src, "", unix.MOUNT_ATTR_NODEV, unix.AT_EMPTY_PATH|unix.AT_RECURSIVE); err != nil {
		return "", err
	}
	if err := unix.Mkdir(path, 0o700); err != nil {
		return "", err
	}
	b.staged[source] = true
	return path, unix.MoveMount(src, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
}
