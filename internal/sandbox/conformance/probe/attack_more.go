package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// more are the second mechanisms against each guarantee.
var more = map[string]func([]string){
	"attack-handle":     attackHandle,
	"attack-metadata":   attackMetadata,
	"attack-pidfd":      attackPidfd,
	"attack-queues":     attackQueues,
	"attack-mounts":     attackMountFlags,
	"attack-setgid":     attackSetgid,
	"egid":              func([]string) { fmt.Println(os.Getegid()) },
	"attack-netadmin":   attackNetAdmin,
	"attack-abi":        attackABI,
	"x32":               func([]string) { unix.RawSyscall(x32Getpid, 0, 0, 0); fmt.Println("alive") },
	"attack-namespaces": attackNamespaces,
	"attack-node":       attackNode,
	"attack-getfd":      attackGetfd,
	"attack-home":       attackHome,
	"attack-knobs":      attackKnobs,
	"attack-climb":      attackClimb,
	"attack-flood":      attackFlood,
	"attack-fork":       attackFork,
	"attack-setid":      attackSetID,
	"attack-limit":      attackLimit,
	"attack-walk":       attackWalk,
	"signal-other":      signalOther,
	"dial-abstract":     func(a []string) { c, err := net.Dial("unix", a[0]); check(err); c.Close() },
	"relay":             relay,
	"stopped":           stopped,
}

// x32Getpid is getpid by the x32 ABI.
const x32Getpid = 0x40000000 + 39

// attackHandle opens a file by a handle that was made outside (Shocker): its type and
// bytes, and a directory of the same file system.
func attackHandle(a []string) {
	raw, err := hex.DecodeString(a[1])
	check(err)
	for _, at := range []string{a[2], "/", "/tmp"} {
		dir, err := unix.Open(at, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			continue
		}
		fd, err := unix.OpenByHandleAt(dir, unix.NewFileHandle(int32(number(a[0])), raw), unix.O_RDONLY)
		text := make([]byte, 64)
		n := 0
		if err == nil {
			n, _ = unix.Read(fd, text)
		}
		if err == nil && string(text[:n]) == a[3] {
			verdict(true, "open_by_handle_at", at)
			return
		}
	}
	verdict(false, "open_by_handle_at", err)
}

// attackMetadata changes a file that was given read-only without opening it to write.
func attackMetadata(a []string) {
	err := os.Chmod(a[0], 0o600)
	verdict(err == nil, "chmod", err)
	err = os.Chtimes(a[0], time.Unix(1, 0), time.Unix(1, 0))
	verdict(err == nil, "utimes", err)
	err = unix.Setxattr(a[0], "user.ringwall", []byte("x"), 0)
	verdict(err == nil, "setxattr", err)
	err = os.Rename(a[0], a[0]+".moved")
	verdict(err == nil, "rename", err)
	if err == nil {
		os.Rename(a[0]+".moved", a[0])
	}
	fd, err := unix.Open(a[0], unix.O_RDONLY, 0)
	check(err)
	// A descriptor that was opened to read, opened again to write.
	again := fmt.Sprintf("/proc/self/fd/%d", fd)
	err = os.Truncate(again, 0)
	verdict(err == nil, "truncate", err)
	err = os.WriteFile(again, []byte("x"), 0)
	verdict(err == nil, "reopen", err)
}

// attackPidfd reaches for a host process by its number in ways other than kill(2).
func attackPidfd(a []string) {
	pid := number(a[0])
	_, err := unix.PidfdOpen(pid, 0)
	verdict(err == nil, "pidfd_open", err)
	_, err = unix.Getpgid(pid)
	verdict(err == nil, "getpgid", err)
	_, err = unix.Getpriority(unix.PRIO_PROCESS, pid)
	verdict(err == nil, "getpriority", err)
	_, err = os.Stat("/proc/" + a[0])
	verdict(err == nil, "proc", err)
}

// attackQueues looks for System V semaphores and messages and a POSIX queue of the host.
func attackQueues(a []string) {
	key := uintptr(number(a[0]))
	_, _, errno := unix.Syscall(unix.SYS_SEMGET, key, 0, 0)
	verdict(errno == 0, "semget", errno)
	_, _, errno = unix.Syscall(unix.SYS_MSGGET, key, 0, 0)
	verdict(errno == 0, "msgget", errno)
	name := append([]byte(a[1]), 0)
	_, _, errno = unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(&name[0])), unix.O_RDONLY, 0, 0, 0, 0)
	verdict(errno == 0, "mq_open", errno)
}

// attackMountFlags looks for a mount on which set-user-id bits would count.
func attackMountFlags([]string) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	check(err)
	var bad []string
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		f := strings.Fields(line)
		if !slices.Contains(strings.Split(f[5], ","), "nosuid") {
			bad = append(bad, f[4])
		}
	}
	verdict(len(bad) > 0, "nosuid", len(bad))
}

// attackSetgid runs a set-group-id copy of the probe and asks who it became.
func attackSetgid(a []string) {
	out, err := output(a[0], "egid")
	check(err)
	verdict(strings.TrimSpace(out) != fmt.Sprint(os.Getegid()), "setgid", strings.TrimSpace(out))
}

// attackNetAdmin changes a network device and reads a file that is closed to all.
func attackNetAdmin(a []string) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	check(err)
	ifr, err := unix.NewIfreq("lo")
	check(err)
	ifr.SetUint32(1400)
	err = unix.IoctlIfreq(fd, unix.SIOCSIFMTU, ifr)
	verdict(err == nil, "net_admin", err)
	check(os.WriteFile("/tmp/closed", []byte("x"), 0))
	_, err = os.ReadFile("/tmp/closed")
	os.Remove("/tmp/closed")
	verdict(err == nil, "dac_override", err)
}

// attackABI makes system calls by the other ABIs of this processor, in children: the
// filter kills who does.
func attackABI([]string) {
	for _, abi := range []string{"int80", "x32"} {
		_, err := output("/proc/self/exe", abi)
		verdict(err == nil || !strings.Contains(err.Error(), "signal 31"), abi, err)
	}
}

// attackNamespaces makes one namespace of each kind, in threads that end with it.
func attackNamespaces([]string) {
	for name, flag := range map[string]uintptr{"mnt": unix.CLONE_NEWNS, "net": unix.CLONE_NEWNET, "pid": unix.CLONE_NEWPID,
		"uts": unix.CLONE_NEWUTS, "ipc": unix.CLONE_NEWIPC, "cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME} {
		attr := &syscall.ProcAttr{Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWUSER | flag}}
		pid, err := syscall.ForkExec("/proc/self/exe", []string{"probe", "exit", "0"}, attr)
		if err == nil {
			syscall.Wait4(pid, nil, 0, nil)
		}
		verdict(err == nil, name, err)
	}
}

// attackNode opens a device node that somebody made where the program can see it.
func attackNode(a []string) {
	fd, err := unix.Open(a[0], unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err == nil {
		unix.Close(fd)
	}
	verdict(err == nil, "node", err)
}

// attackGetfd takes the guest's control socket out of it, to speak in its name.
func attackGetfd([]string) {
	pid, err := unix.PidfdOpen(1, 0)
	check(err)
	fd, err := unix.PidfdGetfd(pid, 3, 0)
	if err == nil {
		unix.Close(fd)
	}
	verdict(err == nil, "pidfd_getfd", err)
	f, err := os.OpenFile("/proc/1/exe", os.O_RDONLY, 0)
	if err == nil {
		f.Close()
	}
	verdict(err == nil, "exe", err)
}

// attackHome looks for a word in every file of the home directory.
func attackHome(a []string) {
	found := false
	filepath.WalkDir(a[0], func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			b, _ := os.ReadFile(path)
			found = found || bytes.Contains(b, []byte(a[1]))
		}
		return nil
	})
	verdict(found, "home", "")
}

// attackKnobs opens for writing what configures the kernel.
func attackKnobs([]string) {
	for _, path := range []string{"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/panic_on_oom",
		"/proc/sys/kernel/hostname", "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger", "/proc/sys/fs/binfmt_misc/register",
		"/proc/irq/0/smp_affinity", "/proc/kcore", "/proc/kmsg", "/proc/1/mem", "/proc/1/oom_score_adj", "/sys/kernel/uevent_helper",
		"/sys/kernel/mm/transparent_hugepage/enabled", "/sys/power/state", "/sys/devices/system/cpu/cpu0/online", "/sys/fs/cgroup/release_agent",
		"/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/unified/cgroup.procs", "/dev/mem", "/dev/kmsg"} {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
		}
		verdict(err == nil, strings.ReplaceAll(path[1:], "/", "_"), err)
	}
	for _, path := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/kernel", "/sys/fs"} {
		b, err := os.ReadFile(path)
		var entries []os.DirEntry
		if errors.Is(err, unix.EISDIR) {
			entries, err = os.ReadDir(path)
		}
		verdict(err == nil && len(b)+len(entries) > 0, "read_"+strings.ReplaceAll(path[1:], "/", "_"), err)
	}
}

// signalOther asks, by signal 0, whether a process is in reach.
func signalOther(a []string) {
	if err := unix.Kill(number(a[0]), 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// relay runs on in a new process every few milliseconds, each a session of its own, for
// some seconds: whoever kills by list is too late.
func relay(a []string) {
	if int64(number(a[1])) < time.Now().Unix() {
		return
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	check(err)
	time.Sleep(10 * time.Millisecond)
	_, err = syscall.ForkExec("/proc/self/exe", []string{"probe", "relay", a[0], a[1]},
		&syscall.ProcAttr{Files: []uintptr{null.Fd(), null.Fd(), null.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true}})
	check(err)
	time.Sleep(300 * time.Millisecond) // long enough to be seen, on a busy machine too
}

// stopped leaves a process behind that is stopped, with a child of its own that is a
// zombie.
func stopped(a []string) {
	if len(a) == 2 {
		_, err := syscall.ForkExec("/proc/self/exe", []string{"probe", "exit", "0"}, nil)
		check(err)
		unix.Kill(os.Getpid(), unix.SIGSTOP)
		return
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	check(err)
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"probe", "stopped", a[0], "child"},
		&syscall.ProcAttr{Files: []uintptr{null.Fd(), null.Fd(), null.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true}})
	check(err)
	var status syscall.WaitStatus
	_, err = syscall.Wait4(pid, &status, syscall.WUNTRACED, nil)
	check(err)
	fmt.Println("stopped")
}

// attackClimb looks for a file of the host through every root, working directory and
// descriptor in sight, and by climbing up from each of our own.
func attackClimb(a []string) {
	up := strings.Repeat("/..", 32)
	for what, pattern := range map[string]string{"root": "/proc/[0-9]*/root", "cwd": "/proc/[0-9]*/cwd", "task": "/proc/[0-9]*/task/[0-9]*/cwd",
		"fd": "/proc/[0-9]*/fd/[0-9]*"} {
		found := false
		links, _ := filepath.Glob(pattern)
		for _, l := range links {
			b, err := os.ReadFile(l + up + a[0])
			found = found || err == nil && string(b) == a[1]
		}
		verdict(found, what, len(links))
	}
	// Up by descriptor: no path to check on the way.
	dir, err := unix.Open(".", unix.O_PATH|unix.O_DIRECTORY, 0)
	check(err)
	for range 32 {
		if next, err := unix.Openat(dir, "..", unix.O_PATH|unix.O_DIRECTORY, 0); err == nil {
			dir = next
		}
	}
	fd, err := unix.Openat(dir, strings.TrimPrefix(a[0], "/"), unix.O_RDONLY, 0)
	text := make([]byte, 64)
	n := 0
	if err == nil {
		n, _ = unix.Read(fd, text)
	}
	verdict(err == nil && string(text[:n]) == a[1], "openat", err)
}

// attackWalk looks for device nodes that are none of the harmless ones, anywhere.
func attackWalk([]string) {
	harmless := map[uint64]bool{}
	for _, d := range [][2]uint32{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}} { // null zero full random urandom tty ptmx
		harmless[unix.Mkdev(d[0], d[1])] = true
	}
	var found []string
	for _, top := range []string{"/dev", "/tmp", "/run", "/var", "/opt", "/etc", "/root", "/home"} {
		filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			var st unix.Stat_t
			if err == nil && d.Type()&fs.ModeDevice != 0 && unix.Lstat(path, &st) == nil && !harmless[st.Rdev] && !strings.HasPrefix(path, "/dev/pts/") && len(found) < 3 {
				found = append(found, path)
			}
			return nil
		})
	}
	verdict(len(found) > 0, "nodes", found)
}

// attackFlood makes many different refused calls.
func attackFlood(a []string) {
	for i := range number(a[0]) {
		_, _, errno := unix.Syscall(unix.SYS_SOCKET, uintptr(100+i%100), 0, 0)
		if errno != unix.EAFNOSUPPORT {
			check(errno)
		}
	}
}

// attackFork starts so many processes that all live at once. They do nothing and end
// with this one: a fork of this program would cost a megabyte each, so it is stopped
// before it starts.
func attackFork(a []string) {
	var pids []int
	var failed error
	for range number(a[0]) {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			failed = errno
			break
		}
		if pid == 0 {
			for { // nothing of the runtime works here
				unix.RawSyscall(unix.SYS_PPOLL, 0, 0, 0)
			}
		}
		pids = append(pids, int(pid))
	}
	for _, pid := range pids {
		unix.Kill(pid, unix.SIGKILL)
		syscall.Wait4(pid, nil, 0, nil)
	}
	verdict(failed == nil, "fork", fmt.Sprint(len(pids), " ", failed))
}

// attackLimit gives itself more processes.
func attackLimit(a []string) {
	n := uint64(number(a[0]))
	err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: n, Max: n})
	var now unix.Rlimit
	check(unix.Getrlimit(unix.RLIMIT_NPROC, &now))
	verdict(now.Cur >= n, "setrlimit", err)
}

// attackSetID makes set-user-id and set-group-id files by every call that gives a mode.
func attackSetID(a []string) {
	try := func(name string, make func(path string) error) {
		path := filepath.Join(a[0], name)
		err := make(path)
		var st unix.Stat_t
		if e := unix.Stat(path, &st); e != nil {
			st.Mode = 0
		}
		verdict(st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0, name, err)
	}
	touch := func(path string) error { return os.WriteFile(path, nil, 0o755) }
	try("fchmodat", func(p string) error {
		check(touch(p))
		return unix.Fchmodat(unix.AT_FDCWD, p, 0o4755, 0)
	})
	try("setgid", func(p string) error {
		check(touch(p))
		return unix.Chmod(p, 0o2755)
	})
	try("fchmodat2", func(p string) error {
		check(touch(p))
		name := append([]byte(p), 0)
		cwd := unix.AT_FDCWD
		_, _, errno := unix.Syscall6(unix.SYS_FCHMODAT2, uintptr(cwd), uintptr(unsafe.Pointer(&name[0])), 0o4755, 0, 0, 0)
		return errno
	})
	try("fchmod", func(p string) error {
		check(touch(p))
		fd, err := unix.Open(p, unix.O_RDONLY, 0)
		check(err)
		return unix.Fchmod(fd, 0o6755)
	})
	try("open", func(p string) error {
		_, err := unix.Open(p, unix.O_CREAT|unix.O_WRONLY, 0o4755)
		return err
	})
	try("openat2", func(p string) error {
		_, err := unix.Openat2(unix.AT_FDCWD, p, &unix.OpenHow{Flags: unix.O_CREAT | unix.O_WRONLY, Mode: 0o4755})
		return err
	})
	try("mknod", func(p string) error { return unix.Mknod(p, unix.S_IFREG|0o4755, 0) })
	try("tmpfile", func(p string) error {
		fd, err := unix.Open(a[0], unix.O_TMPFILE|unix.O_RDWR, 0o4755)
		if err != nil {
			return err
		}
		return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, p, unix.AT_SYMLINK_FOLLOW)
	})
}
