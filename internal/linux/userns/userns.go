// Package userns makes user namespaces for id-mapped mounts and explains why this
// host refuses user namespaces.
package userns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/pidfd"
)

// Open returns a descriptor of a new user namespace with the given maps, for
// mount_setattr(2) with MOUNT_ATTR_IDMAP. No process lives in it. The caller needs
// CAP_SETUID and CAP_SETGID over the mapped ids.
//
// The kernel makes user namespaces only for processes: holder is a program for that
// one, which is killed before Open returns. It must wait for its descriptor 3, a
// socket, and do nothing as long as nothing comes.
func Open(holder string, uids, gids []syscall.SysProcIDMap) (int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(pair[0])
	pidFD := -1
	pid, err := syscall.ForkExec(holder, []string{"ringwall-idmap"}, &syscall.ProcAttr{
		Dir:   "/",
		Files: []uintptr{^uintptr(0), ^uintptr(0), ^uintptr(0), uintptr(pair[1])},
		Sys: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: uids, GidMappings: gids,
			GidMappingsEnableSetgroups: true, PidFD: &pidFD},
	})
	unix.Close(pair[1])
	if err != nil {
		if pidFD >= 0 {
			unix.Close(pidFD)
		}
		return -1, err
	}
	defer unix.Close(pidFD)
	defer pidfd.Reap(pidFD)
	defer pidfd.Kill(pidFD)
	return unix.Open("/proc/"+strconv.Itoa(pid)+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// Explain says why this host refuses a user namespace to an ordinary process, given
// the error of the attempt, and what the user can do about it.
func Explain(err error) (reason, fix string) {
	switch {
	case readInt("/proc/sys/user/max_user_namespaces", 1) == 0:
		return "this system allows no user namespaces (user.max_user_namespaces is 0)",
			"as root: sysctl -w user.max_user_namespaces=15000"
	case readInt("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0:
		return "this system gives user namespaces to root only (kernel.unprivileged_userns_clone is 0)",
			"as root: sysctl -w kernel.unprivileged_userns_clone=1"
	case readInt("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) == 1:
		return "AppArmor takes the rights of unprivileged user namespaces away (kernel.apparmor_restrict_unprivileged_userns is 1)",
			"as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		return "the limit on user namespaces is reached", "as root: raise user.max_user_namespaces"
	case missing():
		return "this kernel is built without user namespaces", "use a kernel with CONFIG_USER_NS"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "this environment does not allow user namespaces",
			"inside a container, start it with a seccomp profile that allows them (docker run --security-opt seccomp=unconfined), or run Ringwall outside"
	default:
		return fmt.Sprintf("no user namespace could be made: %v", err), ""
	}
}

func missing() bool {
	_, err := os.Stat("/proc/self/ns/user")
	return errors.Is(err, os.ErrNotExist)
}

// readInt returns the number in a file of one line, or def if it cannot be read.
func readInt(path string, def int) int {
	raw, err := os.ReadFile(path)
	if err != nil {
		return def
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(raw)))
	if err != nil {
		return def
	}
	return n
}
