// Probe is what the conformance suite runs inside sandboxes. It is static and needs
// nothing of the system, so that an attack never fails for want of a tool.
//
// The runtime would keep files of cgroups open, which tests would find.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// commands are the probe's subcommands.
var commands = map[string]func(args []string){
	"args":    func(a []string) { fmt.Printf("%q\n", a) },
	"env":     func([]string) { e := os.Environ(); sort.Strings(e); fmt.Println(strings.Join(e, "\n")) },
	"cwd":     func([]string) { dir, err := os.Getwd(); check(err); fmt.Println(dir) },
	"exit":    func(a []string) { os.Exit(number(a[0])) },
	"signal":  sendSelf,
	"cat":     func([]string) { _, err := io.Copy(os.Stdout, os.Stdin); check(err) },
	"take":    take,
	"flood":   flood,
	"order":   order,
	"fds":     fds,
	"say":     func(a []string) { fmt.Println(a[0]); sleep() },
	"sleep":   func([]string) { sleep() },
	"burn":    burn,
	"trap":    trap,
	"linger":  linger,
	"daemon":  daemon,
	"write":   func(a []string) { check(os.WriteFile(a[0], []byte(a[1]), 0o644)) },
	"remove":  func(a []string) { check(os.RemoveAll(a[0])) },
	"read":    func(a []string) { b, err := os.ReadFile(a[0]); check(err); os.Stdout.Write(b) },
	"ls":      ls,
	"ids":     func([]string) { fmt.Println(os.Getuid(), os.Getgid()) },
	"closein": func([]string) { os.Stdin.Close(); time.Sleep(200 * time.Millisecond); fmt.Println("done") },

	"forge": forge,

	"attack-read":    attackRead,
	"attack-write":   attackWrite,
	"attack-pids":    attackPids,
	"attack-shm":     attackShm,
	"attack-dial":    attackDial,
	"attack-links":   attackLinks,
	"attack-nnp":     attackNoNewPrivs,
	"attack-setuid":  attackSetuid,
	"euid":           func([]string) { fmt.Println(os.Geteuid()) },
	"attack-caps":    attackCaps,
	"attack-calls":   attackCalls,
	"int80":          func([]string) { int80() },
	"attack-device":  attackDevice,
	"attack-guest":   attackGuest,
	"attack-signals": attackSignals,
	"flood-guest":    floodGuest,
	"attack-environ": attackEnviron,
	"attack-memory":  attackMemory,
	"hold-memory":    holdMemory,
}

func main() {
	for _, c := range []map[string]func([]string){commands, more} {
		if len(os.Args) >= 2 && c[os.Args[1]] != nil {
			c[os.Args[1]](os.Args[2:])
			return
		}
	}
	fmt.Fprintln(os.Stderr, "probe: no such command")
	os.Exit(99)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(98)
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	check(err)
	return n
}

// sleep lasts longer than any test and not for ever.
func sleep() { time.Sleep(time.Minute) }

func sendSelf(a []string) {
	signal.Reset()
	check(unix.Kill(os.Getpid(), syscall.Signal(number(a[0]))))
	sleep()
}

// take reads exactly n bytes and leaves the rest.
func take(a []string) {
	buf := make([]byte, number(a[0]))
	_, err := io.ReadFull(os.Stdin, buf)
	check(err)
	os.Stdout.Write(buf)
}

// flood writes n bytes of a known pattern to stdout and to stderr.
func flood(a []string) {
	n := number(a[0])
	buf := make([]byte, 4096)
	for i := range buf {
		buf[i] = byte(i * 7)
	}
	done := make(chan bool)
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		go func() {
			for left := n; left > 0; left -= len(buf) {
				if _, err := f.Write(buf[:min(left, len(buf))]); err != nil {
					break
				}
			}
			done <- true
		}()
	}
	<-done
	<-done
}

// order writes lines to stdout and stderr in turn.
func order(a []string) {
	for i := range number(a[0]) {
		fmt.Fprintln([]*os.File{os.Stdout, os.Stderr}[i%2], i)
	}
}

// fds lists the open descriptors and what they are.
func fds([]string) {
	entries, err := os.ReadDir("/proc/self/fd")
	check(err)
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "/proc/") || strings.HasPrefix(to, "anon_inode:[event") {
			continue // our own directory and the runtime's poller
		}
		fmt.Println(e.Name(), to)
	}
}

func ls(a []string) {
	entries, err := os.ReadDir(a[0])
	check(err)
	for _, e := range entries {
		fmt.Println(e.Name())
	}
}

// burn uses CPU time for a while.
func burn(a []string) {
	var r unix.Rusage
	for want := time.Duration(number(a[0])) * time.Millisecond; time.Duration(r.Utime.Nano()) < want; {
		check(unix.Getrusage(unix.RUSAGE_SELF, &r))
	}
}

// trap says when it is ready, and which signal then came.
func trap([]string) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	fmt.Println("ready")
	select {
	case s := <-c:
		fmt.Println(s)
	case <-time.After(time.Minute):
	}
}

// linger leaves a child behind that holds our standard output open.
func linger([]string) {
	fmt.Println("main")
	_, err := syscall.ForkExec("/proc/self/exe", []string{"probe", "sleep"}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}})
	check(err)
}

// daemon leaves a process behind that nothing polite ends: in a session of its own,
// adopted by PID 1, deaf to signals. Its argument makes it recognisable.
func daemon(a []string) {
	if len(a) == 2 && a[1] == "child" {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
		if len(os.Args) == 4 {
			sleep()
		}
		return
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	check(err)
	_, err = syscall.ForkExec("/proc/self/exe", []string{"probe", "daemon", a[0], "child"},
		&syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{null.Fd(), null.Fd(), null.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true}})
	check(err)
	fmt.Println("left behind")
}

// forge writes, into a directory, what would tell overlayfs and its readers that the
// directory hides everything and that files in it are gone. What the kernel refuses
// is not there; what it takes must not count.
func forge(a []string) {
	for _, value := range []string{"y", "x"} {
		unix.Setxattr(a[0], "user.overlay.opaque", []byte(value), 0)
		unix.Setxattr(a[0], "trusted.overlay.opaque", []byte(value), 0)
	}
	file := filepath.Join(a[0], "forged")
	check(os.WriteFile(file, nil, 0o644))
	unix.Setxattr(file, "user.overlay.whiteout", nil, 0)
	unix.Mknod(filepath.Join(a[0], "device"), unix.S_IFCHR|0o644, 0)
	unix.Mkfifo(filepath.Join(a[0], "fifo"), 0o644)
	check(os.Symlink("/etc/shadow", filepath.Join(a[0], "link")))
}

// cmdlines returns the command lines of all processes that can be seen.
func cmdlines() (all []string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil {
			all = append(all, string(b))
		}
	}
	return all
}
