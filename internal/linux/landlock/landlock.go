// Package landlock confines a thread, and what it starts, to parts of the file system
// by the Landlock LSM: a second opinion on what mounts and namespaces already say, by
// other code of the kernel.
package landlock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights below a path.
const (
	// Read is reading and executing.
	Read = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR

	// Use is reading and writing what is there: device nodes, files of proc(5).
	Use = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	// Write is everything, renaming from one directory to another too, but for making
	// device nodes.
	Write = Read | Use | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
)

// handled are the rights that each ABI knows; what is handled is denied where no rule
// allows it (Documentation/userspace-api/landlock.rst). MAKE_CHAR, by which overlayfs
// marks deletions, is asked of programs only, not of overlayfs itself.
func handled(abi int) uint64 {
	all := uint64(Write | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK)
	if abi < 5 { // Linux 6.10
		all &^= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi < 3 { // Linux 6.2
		all &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi < 2 { // Linux 5.19
		all &^= unix.LANDLOCK_ACCESS_FS_REFER
	}
	return all
}

// ABI returns the version that the kernel implements, 0 if it has no Landlock or does
// not use it.
func ABI() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// Ruleset is a set of rules that is not in force yet. Whoever made it closes it.
type Ruleset struct {
	fd      int
	handled uint64
}

// New returns an empty Ruleset for a kernel of that ABI, 2 or more: before, every
// rename from one directory to another would be refused. From ABI 6 (Linux 6.12) it
// also keeps signals and connections to abstract sockets among those confined.
func New(abi int) (*Ruleset, error) {
	r := &Ruleset{handled: handled(abi)}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: r.handled}
	size := unsafe.Sizeof(attr.Handled_access_fs)
	if abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
		size = unsafe.Offsetof(attr.Scoped) + unsafe.Sizeof(attr.Scoped)
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return nil, errno
	}
	r.fd = int(fd)
	return r, nil
}

// Allow gives rights on what fd, an O_PATH descriptor, refers to and all below it. For
// a file those that are about directories are left out.
func (r *Ruleset) Allow(fd int, rights uint64, dir bool) error {
	if !dir {
		rights &= unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
			unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights & r.handled, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Restrict puts the calling thread under the rules for good. It takes no_new_privs.
func (r *Ruleset) Restrict() error {
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(r.fd), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// Close gives the descriptor back.
func (r *Ruleset) Close() error { return unix.Close(r.fd) }
