package ns

import (
	"os"

	"golang.org/x/sys/unix"
)

// sealed opens the guest program as a detached mount of its own that is read-only:
// even somebody who got hold of the guest's /proc/PID/exe could not write through it
// (CVE-2019-5736). It takes CAP_SYS_ADMIN, so an ordinary user's guest has only its
// file mode, its being unreadable to the sandbox, and ETXTBSY.
func sealed(program string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, program, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// onNoexec reports whether path lies on a mount that executes nothing.
func onNoexec(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_NOEXEC != 0
}

// inMemory copies the guest program to a sealed memfd, which nobody can write to,
// and returns it. That costs more than the rest of a start, so it is only for hosts
// whose state directory lies on a mount that executes nothing.
func inMemory(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return -1, err
	}
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("ringwall-guest", flags|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3, where memfds are executable anyway
		fd, err = unix.MemfdCreate("ringwall-guest", flags)
	}
	if err != nil {
		return -1, err
	}
	for len(data) > 0 && err == nil {
		var n int
		if n, err = unix.Write(fd, data); err == nil {
			data = data[n:]
		}
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
