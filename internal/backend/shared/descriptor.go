package shared

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/sandbox"
)

var stdNames = [3]string{"standard input", "standard output", "standard error"}

// checkDescriptor returns the descriptor number of f, the caller's i'th standard
// descriptor, or -1 if the program shall see /dev/null.
func checkDescriptor(i int, f *os.File) (int, error) {
	if f == nil {
		return -1, nil
	}
	// Not f.Fd(): that would make the open file blocking for everybody who shares it.
	fd := -1
	conn, err := f.SyscallConn()
	if err == nil {
		err = conn.Control(func(n uintptr) { fd = int(n) })
	}
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		return -1, descriptorError(i, fmt.Errorf("%s cannot be used: %w", stdNames[i], err))
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK:
		return fd, nil
	case unix.S_IFDIR:
		return -1, descriptorError(i, fmt.Errorf("%s is a directory", stdNames[i]))
	case unix.S_IFBLK:
		return -1, descriptorError(i, fmt.Errorf("%s is a block device", stdNames[i]))
	case unix.S_IFCHR:
		return checkCharDevice(i, fd, uint64(st.Rdev))
	default:
		// Descriptors without a file type, such as an eventfd or an epoll instance.
		return -1, descriptorError(i, fmt.Errorf("%s is neither a file, a pipe, a socket nor a terminal", stdNames[i]))
	}
}

// checkCharDevice lets terminals and the memory devices without side effects pass.
func checkCharDevice(i, fd int, rdev uint64) (int, error) {
	const memMajor = 1 // Documentation/admin-guide/devices.txt
	if unix.Major(rdev) == memMajor {
		switch unix.Minor(rdev) {
		case 3: // null: the program opens its own
			return -1, nil
		case 5, 7, 8, 9: // zero, full, random, urandom
			return fd, nil
		}
	}
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		return fd, nil
	}
	return -1, descriptorError(i, fmt.Errorf("%s is a device (%d:%d) that is no terminal",
		stdNames[i], unix.Major(rdev), unix.Minor(rdev)))
}

func descriptorError(i int, err error) error {
	return &sandbox.Error{Code: sandbox.CodeInvalid, Op: "start", Err: err,
		Hint: [3]string{"redirect it from a file or a pipe: < /dev/null, or cat … |",
			"redirect it to a file or a pipe", "redirect it to a file or a pipe"}[i]}
}

// sameOpenFile reports whether a and b share one open file description.
func sameOpenFile(a, b int) bool {
	const kcmpFile = 0
	pid := uintptr(os.Getpid())
	r, _, errno := unix.Syscall6(unix.SYS_KCMP, pid, pid, kcmpFile, uintptr(a), uintptr(b), 0)
	if errno == 0 {
		return r == 0
	}
	// No kcmp(2) in this kernel, or a filter forbids it: the same file opened in
	// the same mode is as good for keeping order.
	var sa, sb unix.Stat_t
	if unix.Fstat(a, &sa) != nil || unix.Fstat(b, &sb) != nil {
		return false
	}
	fa, erra := unix.FcntlInt(uintptr(a), unix.F_GETFL, 0)
	fb, errb := unix.FcntlInt(uintptr(b), unix.F_GETFL, 0)
	return erra == nil && errb == nil && fa == fb && sa.Dev == sb.Dev && sa.Ino == sb.Ino
}
