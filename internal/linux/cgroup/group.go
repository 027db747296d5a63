package cgroup

import (
	"errors"
	"fmt"
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
	if p.Version() == "v2" {
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

// Add moves a process with all its threads into the group. Its children, once it has
// any, are born there; what it has allocated before stays charged elsewhere. After
// an error it may be in some hierarchies only: kill it.
//
// Where FD has a descriptor, use that: the first Add after a while can wait for a
// grace period of RCU, milliseconds on a stock kernel (cgroup_threadgroup_rwsem,
// unless the mount has favordynmods, Linux 6.0).
func (g *Group) Add(pid int) error {
	text := strconv.Itoa(pid)
	if pid <= 0 { // 0 would be ourselves
		return fmt.Errorf("cgroup: no process has the id %d", pid)
	}
	for _, d := range g.dirs { // v2 first: Kill then reaches it after any error
		if err := d.write("cgroup.procs", text); err != nil {
			return err
		}
	}
	return nil
}

// FD returns a descriptor of the group for clone3(2) with CLONE_INTO_CGROUP (Linux
// 5.7); a process that is made so needs no Add. There is none when the group has v1
// directories, where only Add can put a process. It belongs to the group, until
// Close or Remove.
func (g *Group) FD() (int, bool) { return g.fd, g.fd >= 0 }

// Close lets go of the group and leaves it as it is. It may be called twice.
func (g *Group) Close() {
	if g.fd >= 0 {
		unix.Close(g.fd)
		g.fd = -1
	}
}
