package cgroup

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Limits are what a group may use at most; zero is no limit.
type Limits struct {
	PIDs        int   // processes and threads
	MemoryBytes int64 // rounded down to pages; no swap besides
}

// Group is one sandbox's control group: a directory in each hierarchy. Its methods
// may be called concurrently, except Remove and Close.
type Group struct {
	dirs []dir // as in Place: v2 first
	kill bool
	fd   int // of the v2 directory, or -1
}

type dir struct {
	hierarchy
	path string
}

// New makes the group ringwall-NAME with limits. It is an error, which wraps
// ErrMissing, if a limit cannot be set, and one, which wraps os.ErrExist, if the
// group exists. Nothing is left behind on an error.
func (p *Place) New(name string, l Limits) (_ *Group, err error) {
	if !validName(name) {
		return nil, fmt.Errorf("%q is no name for a control group", name)
	}
	if l.MemoryBytes < 0 || l.PIDs < 0 {
		return nil, fmt.Errorf("negative limit: %+v", l)
	}
	if l.MemoryBytes > 0 && !p.Has("memory") {
		return nil, fmt.Errorf("%w: memory", ErrMissing)
	}
	if l.PIDs > 0 && !p.Has("pids") {
		return nil, fmt.Errorf("%w: pids", ErrMissing)
	}
	g := &Group{fd: -1, kill: p.Has("kill")}
	defer func() {
		if err != nil {
			g.Close()
			for i := len(g.dirs) - 1; i >= 0; i-- {
				unix.Rmdir(g.dirs[i].path)
			}
		}
	}()
	for i, path := range p.Paths(name) {
		if err := unix.Mkdir(path, 0o755); err != nil {
			return nil, fmt.Errorf("mkdir %s: %w", path, err)
		}
		d := dir{p.hierarchies[i], path}
		g.dirs = append(g.dirs, d)
		if err := d.limit(l); err != nil {
			return nil, err
		}
	}
	if g.dirs[0].v2 {
		if g.fd, err = open(unix.AT_FDCWD, g.dirs[0].path, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
			return nil, fmt.Errorf("open %s: %w", g.dirs[0].path, err)
		}
	}
	return g, nil
}

// limit sets those limits that are d's.
func (d dir) limit(l Limits) error {
	if l.PIDs > 0 && d.has("pids") {
		if err := d.write("pids.max", strconv.Itoa(l.PIDs)); err != nil {
			return err
		}
	}
	if l.MemoryBytes == 0 || !d.has("memory") {
		return nil
	}
	bytes := strconv.FormatInt(l.MemoryBytes, 10)
	if !d.v2 {
		if err := d.write("memory.limit_in_bytes", bytes); err != nil {
			return err
		}
		// Memory and swap together, never below memory alone: hence second.
		err := d.write("memory.memsw.limit_in_bytes", bytes)
		if errors.Is(err, unix.ENOENT) {
			// Without swap accounting (swapaccount=0, Debian's default before Linux
			// 5.11) a group can only be kept from swapping for its own limit's sake.
			err = d.write("memory.swappiness", "0")
		}
		return err
	}
	if err := d.write("memory.max", bytes); err != nil {
		return err
	}
	// Missing on kernels without swap, or with swapaccount=0.
	if err := d.write("memory.swap.max", "0"); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	// Who runs out of memory ends as a whole (Linux 4.19), not in one process that
	// the kernel chooses. v1 has no such thing: there the caller must watch Stats.
	if err := d.write("memory.oom.group", "1"); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

func (d dir) write(name, text string) error {
	if err := writeFile(unix.AT_FDCWD, d.path+"/"+name, text); err != nil {
		return fmt.Errorf("%s/%s: %w", d.path, name, err)
	}
	return nil
}

// FD returns a descriptor of the v2 directory for clone3(2) with CLONE_INTO_CGROUP
// (Linux 5.7), if there is one. It belongs to the group, until Close or Remove.
//
// Processes are born in a group, never moved: a move waits for a grace period of RCU
// when none was made for a while, 10 ms on a stock kernel (cgroup_threadgroup_rwsem,
// unless the mount has favordynmods, Linux 6.0).
func (g *Group) FD() (int, bool) { return g.fd, g.fd >= 0 }

// Fork calls fork on a thread for which the v1 directories are those of the group:
// what it clones, with FD for v2, is born in the group. A single thread that moves
// itself waits for nothing (kernel/cgroup/cgroup.c, cgroup_procs_write_start), and
// memory is charged by process: ours stays where it is. The thread ends afterwards.
func (g *Group) Fork(fork func() error) error {
	if !slices.ContainsFunc(g.dirs, func(d dir) bool { return !d.v2 }) {
		return fork()
	}
	return onThread(func() error {
		for _, d := range g.dirs {
			if d.v2 {
				continue
			}
			if err := d.write("tasks", "0"); err != nil {
				return err
			}
		}
		return fork()
	})
}

// onThread calls do on a thread that ends with it: the runtime throws away a thread
// whose goroutine ends while it is locked to it. The main thread never ends, so it is
// kept busy while another takes its place.
func onThread(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			done <- onThread(do)
			runtime.UnlockOSThread()
			return
		}
		done <- do()
	}()
	return <-done
}

// Close lets go of the group and leaves it as it is. It may be called twice.
func (g *Group) Close() {
	if g.fd >= 0 {
		unix.Close(g.fd)
		g.fd = -1
	}
}
