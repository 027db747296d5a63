package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// verdict prints the outcome of one attack: broken if it reached what it was after.
func verdict(broken bool, name string, detail any) {
	word := "held"
	if broken {
		word = "broken"
	}
	fmt.Printf("%s %s %v\n", word, name, detail)
}

// attackRead tries to read a host file by its path and by every detour.
func attackRead(a []string) {
	for _, prefix := range []string{"", "/proc/self/root", "/proc/1/root", "/proc/1/cwd", "/proc/self/cwd/../../../../../..", "/proc/self/fd/0/../../../.."} {
		b, err := os.ReadFile(prefix + a[0])
		verdict(err == nil && string(b) == a[1], "read"+strings.ReplaceAll(prefix, "/", "_"), err)
	}
}

// attackWrite tries to change a file that was given read-only.
func attackWrite(a []string) {
	err := os.WriteFile(a[0], []byte("overwritten"), 0o644)
	verdict(err == nil, "write", err)
	err = os.WriteFile(filepath.Join(filepath.Dir(a[0]), "created"), nil, 0o644)
	verdict(err == nil, "create", err)
	err = os.Remove(a[0])
	verdict(err == nil, "remove", err)
	err = unix.Mount("", filepath.Dir(a[0]), "", unix.MS_REMOUNT|unix.MS_BIND, "")
	verdict(err == nil, "remount", err)
}

// attackPids looks for a host process by a word on its command line.
func attackPids(a []string) {
	found := false
	for _, c := range cmdlines() {
		found = found || strings.Contains(c, a[0]) && !strings.Contains(c, "attack-pids")
	}
	verdict(found, "see", "")
	err := unix.Kill(number(a[1]), 0)
	verdict(!errors.Is(err, unix.ESRCH), "signal", err)
}

// attackShm looks for a shared memory segment of the host.
func attackShm(a []string) {
	_, err := unix.SysvShmGet(number(a[0]), 0, 0)
	verdict(err == nil, "shm", err)
}

// attackDial connects to "network address" pairs.
func attackDial(a []string) {
	for i := 0; i+1 < len(a); i += 2 {
		c, err := net.DialTimeout(a[i], a[i+1], 2*time.Second)
		if err == nil {
			// UDP says nothing when nobody listens: wait for the echo.
			c.SetDeadline(time.Now().Add(2 * time.Second))
			c.Write([]byte("x"))
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		verdict(err == nil, a[i], err)
	}
}

func attackLinks([]string) {
	all, err := net.Interfaces()
	check(err)
	var others []string
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 {
			others = append(others, i.Name)
		}
	}
	verdict(len(others) > 0, "links", others)
}

// status returns a line of /proc/self/status.
func status(key string) string {
	b, err := os.ReadFile("/proc/self/status")
	check(err)
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func attackNoNewPrivs([]string) {
	verdict(status("NoNewPrivs") != "1", "no_new_privs", status("NoNewPrivs"))
}

// attackSetuid runs a set-user-id copy of the probe and asks who it became.
func attackSetuid(a []string) {
	out, err := output(a[0], "euid")
	check(err)
	verdict(strings.TrimSpace(out) != fmt.Sprint(os.Geteuid()), "setuid", strings.TrimSpace(out))
}

// output runs a program and returns what it printed.
func output(path string, args ...string) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	pid, err := syscall.ForkExec(path, append([]string{path}, args...), &syscall.ProcAttr{Files: []uintptr{0, w.Fd(), 2}})
	w.Close()
	if err != nil {
		return "", err
	}
	buf := make([]byte, 4096)
	n, _ := r.Read(buf)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return "", err
	}
	if status.Signaled() {
		return "", fmt.Errorf("signal %d", status.Signal())
	}
	return string(buf[:n]), nil
}

// attackCaps uses capabilities: over ports, packets and its own limits.
func attackCaps([]string) {
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if set != "CapInh" {
			verdict(strings.Trim(status(set), "0") != "", set, status(set))
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:80")
	if err == nil {
		l.Close()
	}
	verdict(err == nil, "port80", err)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	if err == nil {
		unix.Close(fd)
	}
	verdict(err == nil, "raw", err)
}

// attackDevice opens a device of the host, looks for others and tries to make one.
func attackDevice(a []string) {
	fd, err := unix.Open(a[0], unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err == nil {
		unix.Close(fd)
	}
	verdict(err == nil, "open", err)
	known := map[string]bool{"fd": true, "full": true, "null": true, "ptmx": true, "pts": true, "random": true, "shm": true,
		"stderr": true, "stdin": true, "stdout": true, "tty": true, "urandom": true, "zero": true}
	entries, err := os.ReadDir("/dev")
	check(err)
	var more []string
	for _, e := range entries {
		if !known[e.Name()] {
			more = append(more, e.Name())
		}
	}
	verdict(len(more) > 0, "list", more)
	err = unix.Mknod("/tmp/device", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 11)))
	if err == nil {
		os.Remove("/tmp/device")
	}
	verdict(err == nil, "mknod", err)
}

// attackGuest reaches for the process that runs the sandbox.
func attackGuest([]string) {
	_, err := os.ReadFile("/proc/1/environ")
	verdict(err == nil, "environ", err)
	_, err = os.Readlink("/proc/1/exe")
	verdict(err == nil, "exe", err)
	_, err = os.ReadDir("/proc/1/fd")
	verdict(err == nil, "fd", err)
	f, err := os.OpenFile("/proc/1/mem", os.O_RDWR, 0)
	if err == nil {
		f.Close()
	}
	verdict(err == nil, "mem", err)
	var b [8]byte
	local := []unix.Iovec{{Base: &b[0], Len: 8}}
	_, err = unix.ProcessVMReadv(1, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
	verdict(!errors.Is(err, unix.EPERM), "process_vm_readv", err)
	const ptraceSeize = 0x4206
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, ptraceSeize, 1, 0, 0, 0, 0)
	verdict(errno == 0, "ptrace", errno)
}

// floodGuest sends every signal to PID 1 without end.
func floodGuest([]string) {
	for {
		for sig := 1; sig <= 64; sig++ {
			unix.Kill(1, syscall.Signal(sig))
		}
	}
}

// attackSignals sends every signal to PID 1 and to everybody.
func attackSignals([]string) {
	for sig := 1; sig <= 64; sig++ {
		unix.Kill(1, syscall.Signal(sig))
	}
	fmt.Println("sent")
	unix.Kill(-1, unix.SIGKILL)
}

// attackEnviron looks for a variable of the host in every environment in sight.
func attackEnviron(a []string) {
	found := false
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil {
			found = found || strings.Contains("\x00"+string(b), "\x00"+a[0]+"\x00")
		}
	}
	verdict(found, "environ", "")
}

// attackCalls makes system calls that the filter must refuse, each in a way in which
// the kernel alone would answer otherwise.
func attackCalls([]string) {
	call := func(name string, want unix.Errno, nr, a0, a1, a2 uintptr) {
		r, _, errno := unix.Syscall(nr, a0, a1, a2)
		if errno == 0 && name != "personality" && name != "keyctl" && int(r) > 2 {
			unix.Close(int(r))
		}
		verdict(errno != want, name, errno)
	}
	call("ioctl-tiocsti", unix.EPERM, unix.SYS_IOCTL, ^uintptr(0), unix.TIOCSTI, 0)
	call("ioctl-tiocsti-bit32", unix.EPERM, unix.SYS_IOCTL, ^uintptr(0), 1<<32|unix.TIOCSTI, 0)
	call("ioctl-tiocsetd", unix.EPERM, unix.SYS_IOCTL, ^uintptr(0), unix.TIOCSETD, 0)
	call("clone3", unix.ENOSYS, unix.SYS_CLONE3, 0, 0, 0)
	call("personality", unix.EPERM, unix.SYS_PERSONALITY, 0x0400000, 0, 0)
	call("keyctl", unix.ENOSYS, unix.SYS_KEYCTL, 0, uintptr(0xfffffffffffffffd), 1)
	call("bpf", unix.EPERM, unix.SYS_BPF, 0xffff, 0, 0)
	root := []byte("/\x00")
	call("open_tree", unix.EPERM, unix.SYS_OPEN_TREE, ^uintptr(99), uintptr(unsafe.Pointer(&root[0])), 0)
	call("af_vsock", unix.EAFNOSUPPORT, unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	call("af_alg", unix.EAFNOSUPPORT, unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET, 0)
	call("netlink_netfilter", unix.EAFNOSUPPORT, unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)
	var params [120]byte
	call("io_uring", unix.ENOSYS, unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	const userfaultUserModeOnly = 1
	call("userfaultfd", unix.EPERM, unix.SYS_USERFAULTFD, userfaultUserModeOnly, 0, 0)
	attackNamespace()
	if haveInt80 {
		_, err := output("/proc/self/exe", "int80")
		verdict(err == nil || !strings.Contains(err.Error(), "signal 31"), "int80", err)
	}
}

// attackNamespace makes a user namespace in a child: threads cannot.
func attackNamespace() {
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"probe", "exit", "0"},
		&syscall.ProcAttr{Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}})
	if err == nil {
		syscall.Wait4(pid, nil, 0, nil)
	}
	verdict(err == nil, "clone-newuser", err)
}
