package main

import "golang.org/x/sys/unix"

// newFS makes a file system of the given type and returns it as a detached mount.
// Options are key and value in turn; a key with an empty value is a flag.
func newFS(fstype string, attrs int, options ...string) (int, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	for i := 0; i < len(options); i += 2 {
		if options[i+1] == "" {
			err = unix.FsconfigSetFlag(fs, options[i])
		} else {
			err = unix.FsconfigSetString(fs, options[i], options[i+1])
		}
		if err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
}

// attrs adds to extra what every mount of ours has.
func (b *builder) attrs(extra int) int {
	if b.omits("nosuid") {
		return extra
	}
	return extra | unix.MOUNT_ATTR_NOSUID
}

func (b *builder) readOnly() int {
	if b.omits("ro") {
		return 0
	}
	return unix.MOUNT_ATTR_RDONLY
}

// setAttr sets attributes on the mount at path. Flags are AT_RECURSIVE and
// AT_EMPTY_PATH.
func (b *builder) setAttr(dirfd int, path string, attrs int, flags uint) error {
	return unix.MountSetattr(dirfd, path, flags, &unix.MountAttr{Attr_set: uint64(b.attrs(attrs))})
}

// openBeneath opens path below the working directory without following any
// symbolic link.
func openBeneath(path string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	return retryAgain(func() (int, error) { return unix.Openat2(unix.AT_FDCWD, path, &how) })
}

// retryAgain repeats openat2 while it gives EAGAIN, which a rename elsewhere on the
// system can cause (openat2(2), RESOLVE_BENEATH).
func retryAgain(open func() (int, error)) (int, error) {
	for range 64 {
		fd, err := open()
		if err != unix.EAGAIN && err != unix.EINTR {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// clone returns a detached copy of the mount and directory that fd refers to.
func clone(fd int) (int, error) {
	return unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
}

// attach puts a detached mount on target, an O_PATH descriptor.
func attach(mount, target int) error {
	return unix.MoveMount(mount, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}
