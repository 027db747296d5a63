package paths

import "golang.org/x/sys/unix"

// OpenTree returns a detached copy of the mount at path, with the mounts below it if
// recursive. With noLinks a symbolic link anywhere in path is ELOOP: open_tree(2)
// itself knows no such flag. The caller closes the descriptor.
func OpenTree(path string, recursive, noLinks bool) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if !noLinks {
		return unix.OpenTree(unix.AT_FDCWD, path, flags)
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	at, err := unix.Openat2(unix.AT_FDCWD, path, &how)
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	return unix.OpenTree(at, "", flags|unix.AT_EMPTY_PATH)
}
