package main

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/seccomp"
)

// drop gives up every right that building the sandbox needed. The guest itself is
// then as confined as the programs that it starts, which inherit all of this from
// the main thread; so there is nothing to gain from taking it over but its socket.
func (b *builder) drop() *failure {
	rules, f := b.rules()
	if f != nil {
		return f
	}
	if !b.omits("caps") {
		// The bounding set first: it needs CAP_SETPCAP. On this thread alone, from
		// which every program is forked: with no capability left, no_new_privs and
		// no file that could give any, it only completes the picture.
		for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL {
				return fail("drop", "bounding set", err)
			}
		}
	} else if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fail("drop", "keepcaps", err)
	}
	if !b.omits("nosuid") {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fail("drop", "no_new_privs", err)
		}
	} else if !b.omits("seccomp") {
		// Without no_new_privs a filter needs CAP_SYS_ADMIN, so it comes early.
		if f := b.filter(); f != nil {
			return f
		}
	}
	// A core dump would be handled by the host's kernel.core_pattern: a root program
	// there would parse memory that the sandbox wrote. A limit of exactly 1 byte
	// suppresses dumps into pipes too, where 0 does not (fs/coredump.c).
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
		return fail("drop", "core limit", err)
	}
	if b.setup.PIDs > 0 && !b.omits("pids") {
		// What counts is the user namespace's own processes of this uid, threads too
		// (Linux 5.14, kernel/ucount.c; before, those of the uid on the whole host, which
		// the backend knows).
		n := uint64(b.setup.PIDs)
		if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return fail("drop", "process limit", err)
		}
	}
	if f := b.becomeUser(); f != nil {
		return f
	}
	if !b.omits("caps") {
		if err := dropCaps(); err != nil {
			return fail("drop", "capset", err)
		}
	}
	if rules != nil {
		if err := rules.Restrict(); err != nil {
			return fail("drop", "landlock", err)
		}
		rules.Close()
	}
	// Dumpable until the host has looked: changing credentials has reset that to
	// fs.suid_dumpable.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		return fail("drop", "dumpable", err)
	}
	if !b.omits("seccomp") && !b.omits("nosuid") {
		if f := b.filter(); f != nil {
			return f
		}
	}
	ignoreSignals()
	return nil
}

// filter installs the system call filter.
func (b *builder) filter() *failure {
	var err error
	b.alarms, err = seccomp.Install(seccomp.Options{UserNS: b.setup.UserNS, NoSetID: b.setup.NoSetID})
	return fail("drop", "seccomp", err)
}

// seal makes the guest's own files below /proc unreadable to programs of the same uid,
// and ptrace(2) of it impossible: /proc/1/{mem,fd,exe,…}, and with that our own
// executable on the host's disk (CVE-2019-5736). It comes before the first program.
func (b *builder) seal() *failure {
	if b.omits("nodump") {
		return nil
	}
	return fail("seal", "dumpable", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}

// takeIDs makes this thread root of a user namespace that has a range of ids: with
// the host's ids, which are not mapped, no file could be made. A namespace with a
// single id has no root; that id is ours already.
func (b *builder) takeIDs() *failure {
	if !b.setup.Range {
		return nil
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, 0, 0, 0); errno != 0 {
		return fail("ids", "setresgid", errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 0, 0, 0); errno != 0 {
		return fail("ids", "setresuid", errno)
	}
	return nil
}

// becomeUser takes the program's ids, on all threads. In a user namespace with a
// single id they are ours already.
func (b *builder) becomeUser() *failure {
	uid, gid := b.setup.UID, b.setup.GID
	if b.setup.Range {
		// The groups that root had on the host are not mapped and still count.
		if err := syscall.Setgroups(nil); err != nil {
			return fail("drop", "setgroups", err)
		}
		if err := syscall.Setresgid(gid, gid, gid); err != nil {
			return fail("drop", "setresgid", err)
		}
		if err := syscall.Setresuid(uid, uid, uid); err != nil {
			return fail("drop", "setresuid", err)
		}
	}
	if b.omits("caps") {
		return keepCaps()
	}
	return nil
}

// kernelSigaction is struct sigaction of rt_sigaction(2) on 64-bit Linux.
type kernelSigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// ignoreSignals takes back the handlers that the Go runtime installed: with them
// `kill -QUIT 1` would end the sandbox.
//
// The kernel drops a signal of default disposition that comes to a namespace's PID 1 from
// inside (pid_namespaces(7)), but not while its main thread has it blocked, as ours has
// whenever it forks: then it is handed to another thread, and a fatal one ends the whole
// process (kernel/signal.c, sig_ignored and complete_signal; seen on Linux 6.1). A signal
// that is ignored, or has a handler, is never fatal.
//
// Programs start with default dispositions: the runtime restores, in the child, those of
// the signals that it believes to handle. That leaves 32 and 34, which programs find
// ignored; C libraries use them inside and set them up before they do. SIGURG keeps its
// handler: the runtime preempts with it. What is ignored by default, or stops, is
// never fatal and left alone; if SIGCHLD were ignored, children would leave nothing to wait for.
func ignoreSignals() {
	if unix.Getpid() != 1 {
		return // a control without PID namespace
	}
	const sigDFL, sigIGN = 0, 1
	for sig := uintptr(1); sig <= 64; sig++ {
		act := kernelSigaction{handler: sigIGN}
		switch unix.Signal(sig) {
		case unix.SIGURG, unix.SIGKILL, unix.SIGSTOP:
			continue
		case unix.SIGCHLD, unix.SIGCONT, unix.SIGWINCH, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
			act.handler = sigDFL
		}
		sigaction(sig, &act)
	}
}
