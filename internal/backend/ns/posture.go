package ns

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/guest"
	"github.com/ringwall/ringwall/internal/linux/procfs"
)

// errPosture is why a sandbox is refused that is not as it should be.
var errPosture = errors.New("the sandbox is not as it should be")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errPosture, fmt.Sprintf(format, args...))
}

// posture is what a sandbox is held against. It is made while the guest works, and used
// once.
type posture struct {
	id    identity
	setup guest.Setup
	ours  [len(namespaces)]uint64 // the inodes of our own namespaces

	wanted   map[string]*count // mounts by their point; one may cover another
	required map[string]int    // how many of them must be there
	below    []string          // with the mounts of the host below them, read-only
}

// count is how many mounts of each kind belong on a point.
type count struct{ writable, readOnly int }

// namespaces are those that a sandbox has of its own.
var namespaces = [...]string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"}

// newPosture says what the sandbox of that plan must look like.
func newPosture(id identity, setup guest.Setup) (*posture, error) {
	p := &posture{id: id, setup: setup, wanted: map[string]*count{"/": {readOnly: 1}}, required: map[string]int{}}
	for i, ns := range namespaces {
		var st unix.Stat_t
		if err := unix.Stat("/proc/self/ns/"+ns, &st); err != nil {
			return nil, fmt.Errorf("our %s namespace: %w", ns, err)
		}
		p.ours[i] = st.Ino
	}
	for _, op := range setup.Ops {
		w := p.wanted[op.Target]
		if w == nil {
			w = &count{}
			p.wanted[op.Target] = w
		}
		switch op.Kind {
		case guest.OpScratch, guest.OpOverlay, guest.OpProc, guest.OpDevpts:
			w.writable++
			p.required[op.Target]++
		case guest.OpMerge:
			w.readOnly++
			p.required[op.Target]++
		case guest.OpBind:
			if op.ReadOnly {
				w.readOnly++
			} else {
				w.writable++
			}
			p.required[op.Target]++
			if setup.Sources[op.Source].Recursive {
				p.below = append(p.below, op.Target+"/")
			}
		case guest.OpReadOnly, guest.OpMask: // of what may not be there
			w.readOnly++
		}
	}
	return p, nil
}

// check looks at the guest from outside once it says that it is confined, and before the
// first program, which inherits all of it. What the guest was told to do and what the
// kernel made of it are two things: anything missing, and any mount that the plan does
// not account for, refuses the sandbox.
func (p *posture) check(pid int) error {
	dir := "/proc/" + strconv.Itoa(pid)
	for _, check := range []func() error{
		func() error { return checkStatus(dir, p.id) },
		func() error { return p.checkNamespaces(dir) },
		func() error { return checkLimits(pid, p.setup) },
		func() error { return p.checkMounts(dir) },
		func() error { return checkDescriptors(dir) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkStatus compares ids, capabilities, no_new_privs and the filter.
func checkStatus(dir string, id identity) error {
	raw, err := procfs.ReadFile(unix.AT_FDCWD, dir+"/status")
	if err != nil {
		return err
	}
	const none = "0000000000000000"
	uid, gid := strconv.Itoa(id.uids.onHost()), strconv.Itoa(id.gids.onHost())
	want := map[string]string{"CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
		"NoNewPrivs": "1", "Seccomp": "2", "Uid": strings.Join([]string{uid, uid, uid, uid}, "\t"), "Gid": strings.Join([]string{gid, gid, gid, gid}, "\t")}
	if id.ranged {
		want["Groups"] = ""
	}
	for _, line := range strings.Split(raw, "\n") {
		key, value, _ := strings.Cut(line, ":")
		if w, ok := want[key]; ok {
			if got := strings.TrimSpace(value); got != w {
				return wrong("%s of its guest is %q, not %q", key, got, w)
			}
			delete(want, key)
		}
	}
	if len(want) > 0 {
		return wrong("the kernel does not tell %v", want)
	}
	return nil
}

// checkLimits finds the limits of the processes that will be forked: no core dumps, and
// no more processes than were planned.
func checkLimits(pid int, setup guest.Setup) error {
	for _, limit := range []struct{ what, want int }{{unix.RLIMIT_CORE, 1}, {unix.RLIMIT_NPROC, setup.PIDs}} {
		var l unix.Rlimit
		if limit.want == 0 {
			continue
		}
		if err := unix.Prlimit(pid, limit.what, nil, &l); err != nil {
			return err
		}
		if l.Cur != uint64(limit.want) || l.Max != uint64(limit.want) {
			return wrong("limit %d of its guest is %d (at most %d), not %d", limit.what, l.Cur, l.Max, limit.want)
		}
	}
	return nil
}

// onHost is the host's id for the program's.
func (m idMaps) onHost() int {
	for _, e := range m.sandbox {
		if m.inside >= e.ContainerID && m.inside < e.ContainerID+e.Size {
			return e.HostID + m.inside - e.ContainerID
		}
	}
	return -1
}

// checkNamespaces finds that none is ours.
func (p *posture) checkNamespaces(dir string) error {
	for i, ns := range namespaces {
		var st unix.Stat_t
		if err := unix.Stat(dir+"/ns/"+ns, &st); err != nil {
			return &os.PathError{Op: "stat", Path: dir + "/ns/" + ns, Err: err}
		}
		if st.Ino == p.ours[i] {
			return wrong("it shares our %s namespace", ns)
		}
	}
	return nil
}

// checkSealed finds that programs may not look into the guest. The kernel gives the
// files of a process that is not dumpable to the root of its user namespace; not its
// directory (fs/proc/base.c, task_dump_owner). Where programs are that root it cannot be
// told from outside, and what protects the guest is that opening those files takes
// CAP_SYS_PTRACE (kernel/ptrace.c, __ptrace_may_access).
func checkSealed(pid int, id identity) error {
	if id.uids.inside == 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/"+strconv.Itoa(pid)+"/environ", &st); err != nil {
		return err
	}
	if int(st.Uid) == id.uids.onHost() {
		return wrong("its guest is dumpable")
	}
	return nil
}

// checkMounts compares what is mounted with the plan.
func (p *posture) checkMounts(dir string) error {
	raw, err := procfs.ReadFile(unix.AT_FDCWD, dir+"/mountinfo")
	if err != nil {
		return err
	}
	root := false
	for text := range strings.Lines(raw) {
		// ID PARENT DEVICE ROOT POINT OPTIONS … (proc_pid_mountinfo(5))
		field := text
		for range 4 {
			_, field, _ = strings.Cut(field, " ")
		}
		point, rest, _ := strings.Cut(field, " ")
		options, _, ok := strings.Cut(rest, " ")
		if !ok {
			return wrong("the kernel describes a mount as %q", text)
		}
		point, options = procfs.Unescape(point), ","+options+","
		w, planned := p.wanted[point]
		readOnly := strings.Contains(options, ",ro,")
		switch {
		case planned && readOnly && w.readOnly > 0:
			w.readOnly--
		case planned && !readOnly && w.writable > 0:
			w.writable--
		case planned && !readOnly && w.readOnly > 0:
			return wrong("%s can be written to", point)
		case !slices.ContainsFunc(p.below, func(b string) bool { return strings.HasPrefix(point, b) }):
			return wrong("%s is mounted, which is not in the plan", point)
		case !readOnly:
			return wrong("%s can be written to", point)
		}
		p.required[point]--
		if !strings.Contains(options, ",nosuid,") {
			return wrong("set-user-id programs would count in %s", point)
		}
		if !strings.Contains(options, ",nodev,") && !strings.HasPrefix(point, "/dev/") {
			return wrong("devices would count in %s", point)
		}
		root = root || point == "/" && strings.Contains(text, " - tmpfs ")
	}
	for point, missing := range p.required {
		if missing > 0 {
			return wrong("%s is not mounted", point)
		}
	}
	if !root {
		return wrong("its root is not the one that was built")
	}
	return nil
}

// checkDescriptors finds only the guest's own: /dev/null three times and its socket.
func checkDescriptors(dir string) error {
	fds, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return err
	}
	for _, fd := range fds {
		to, err := os.Readlink(dir + "/fd/" + fd.Name())
		if errors.Is(err, os.ErrNotExist) {
			continue // closed since
		}
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(fd.Name())
		switch {
		case err == nil && n < guest.ControlFD && to == "/dev/null":
		case err == nil && n == guest.ControlFD && strings.HasPrefix(to, "socket:"):
		case strings.HasPrefix(to, "anon_inode:[event"): // the runtime's poller
		default:
			return wrong("its guest holds %s open", to)
		}
	}
	return nil
}
