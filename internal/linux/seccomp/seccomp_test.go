//go:build amd64 || arm64

package seccomp

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/testenv"
)

// childEnv makes the test binary the process that is put under the filter, which
// cannot be taken off again.
const childEnv = "RINGWALL_TEST_SECCOMP"

func testChild(t *testing.T, what string) error {
	t.Helper()
	testenv.Require(t, "seccomp")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	return err
}

func TestKernelTakesFilter(t *testing.T) {
	if err := testChild(t, "calls"); err != nil {
		t.Error(err)
	}
}

func TestFilterWithUserNamespaces(t *testing.T) {
	if err := testChild(t, "userns"); err != nil {
		t.Error(err)
	}
}

// TestMain is also the process that testChild starts.
func TestMain(m *testing.M) {
	what := os.Getenv(childEnv)
	if what == "" {
		os.Exit(m.Run())
	}
	var c child
	c.run(what)
	os.Exit(int(c))
}

// child is the status with which the child ends: 1 if something was not as it should be.
type child int

func (c *child) Errorf(format string, args ...any) {
	*c = 1
	fmt.Printf(format+"\n", args...)
}

func (c *child) Error(err error) { c.Errorf("%v", err) }

func (c *child) Fatal(err error) {
	c.Error(err)
	os.Exit(1)
}

// run puts the process under the filter and makes calls.
func (t *child) run(what string) {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	fd, err := Install(Options{UserNS: what == "userns"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewListener(fd)
	if err != nil {
		t.Fatal(err)
	}
	alarms := make(chan Alarm, 100)
	go l.Serve(func(a Alarm) { alarms <- a })
	if what == "x32" {
		const x32Getpid = 0x40000000 + 39
		_, _, errno := unix.RawSyscall(x32Getpid, 0, 0, 0)
		t.Errorf("alive after a call of x32: %v", errno)
		return
	}
	if what == "userns" {
		err := unix.Unshare(unix.CLONE_NEWUTS) // the kernel decides
		if len(alarms) > 0 {
			t.Errorf("unshare: %v with an alarm: %+v", err, <-alarms)
		}
		if err := unix.Mount("", "/", "", 0, ""); err != unix.EPERM || len(alarms) != 1 {
			t.Errorf("mount: %v, %d alarms; want EPERM and an alarm", err, len(alarms))
		}
		return
	}
	for _, c := range []struct {
		what string
		nr   uintptr
		args [3]uintptr
		want unix.Errno
	}{
		{"getpid", unix.SYS_GETPID, [3]uintptr{}, 0},
		{"clone3", unix.SYS_CLONE3, [3]uintptr{}, unix.ENOSYS},
		{"a number nobody has", 1000, [3]uintptr{}, unix.ENOSYS},
		{"unshare(CLONE_NEWUSER)", unix.SYS_UNSHARE, [3]uintptr{unix.CLONE_NEWUSER}, unix.EPERM},
		{"AF_ALG", unix.SYS_SOCKET, [3]uintptr{unix.AF_ALG, unix.SOCK_SEQPACKET}, unix.EAFNOSUPPORT},
		{"NETLINK_NETFILTER", unix.SYS_SOCKET, [3]uintptr{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, unix.EAFNOSUPPORT},
		// The descriptor is no terminal: without the filter these two give EBADF.
		{"TIOCSTI", unix.SYS_IOCTL, [3]uintptr{^uintptr(0), unix.TIOCSTI}, unix.EPERM},
		{"TIOCSTI with bit 32", unix.SYS_IOCTL, [3]uintptr{^uintptr(0), 1<<32 | unix.TIOCSTI}, unix.EPERM},
		{"TCGETS", unix.SYS_IOCTL, [3]uintptr{^uintptr(0), unix.TCGETS}, unix.EBADF},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, [3]uintptr{}, unix.ENOSYS},
	} {
		if _, _, errno := unix.Syscall(c.nr, c.args[0], c.args[1], c.args[2]); errno != c.want {
			t.Errorf("%s: %v; want %v", c.what, errno, c.want)
		}
	}
	var names []string
	for range 5 {
		names = append(names, (<-alarms).Call)
	}
	if want := []string{"unshare", "socket", "socket", "ioctl", "ioctl"}; !slices.Equal(names, want) || len(alarms) > 0 {
		t.Errorf("alarms: %q and %d more; want %q", names, len(alarms), want)
	}
	// Threads that were there before are under it too, and programs still start.
	done := make(chan error)
	for range 4 {
		go func() { done <- unix.Unshare(unix.CLONE_NEWUTS) }()
	}
	for range 4 {
		if err := <-done; err != unix.EPERM {
			t.Errorf("unshare in another thread: %v", err)
		}
	}
	if err := exec.Command("/bin/sh", "-c", "exit 0").Run(); err != nil {
		t.Error(err)
	}
	// Nobody answers any more.
	l.Close()
	if err := unix.Unshare(unix.CLONE_NEWUTS); err != unix.ENOSYS {
		t.Errorf("unshare without listener: %v; want ENOSYS", err)
	}
}
