package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/procfs"
)

// Kill ends every process in the group, and in groups below it, and returns when all
// have ended; a group without processes, or one that is gone, is not an error. Zombies
// do not count. A process that is blocked in the kernel can take any time: ctx bounds
// it. The group is of no further use but for Stats and Remove.
func (g *Group) Kill(ctx context.Context) error {
	if g.kill {
		// Every process was born in the v2 directory too.
		dir := g.dirs[0].path
		if err := killV2(ctx, unix.AT_FDCWD, dir+"/"); err != nil && !gone(err) {
			return fmt.Errorf("killing all in %s: %w", dir, err)
		}
		return nil
	}
	var trees []*tree
	defer func() {
		for _, t := range trees {
			t.close()
		}
	}()
	for _, d := range g.dirs {
		t, err := openTree(d.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		trees = append(trees, t)
	}
	if len(trees) == 0 {
		return nil
	}
	return killTrees(ctx, trees...)
}

// kill ends every process in the tree.
func (t *tree) kill(ctx context.Context) error {
	err := killV2(ctx, t.fd, "")
	if gone(err) {
		return killTrees(ctx, t)
	}
	if err != nil {
		return fmt.Errorf("killing all in %s: %w", t.path, err)
	}
	return nil
}

// killV2 uses cgroup.kill (Linux 5.14), which no fork escapes. The files' names
// begin with prefix, relative to at.
func killV2(ctx context.Context, at int, prefix string) error {
	err := writeFile(at, prefix+"cgroup.kill", "1")
	for pause := newPause(); err == nil; err = pause.wait(ctx) {
		events, err := procfs.ReadFile(at, prefix+"cgroup.events")
		if err != nil {
			return err
		}
		if n, _ := number(events, "populated"); n == 0 {
			return nil
		}
	}
	return err
}

// killTrees is for kernels without cgroup.kill, and for v1: it stops the processes
// from forking, kills those that it sees, and repeats that until there are none.
func killTrees(ctx context.Context, trees ...*tree) error {
	for pause := newPause(); ; {
		for _, t := range trees {
			t.hold()
		}
		seen := 0
		for _, t := range trees {
			n, err := t.signalAll()
			if err != nil {
				return fmt.Errorf("killing all in %s: %w", t.path, err)
			}
			seen += n
		}
		for _, t := range trees {
			t.thaw()
		}
		if seen == 0 {
			return nil
		}
		if err := pause.wait(ctx); err != nil {
			return fmt.Errorf("killing all in %s: %w", trees[0].path, err)
		}
	}
}

// hold keeps the processes from multiplying while they are listed, with whatever
// this directory has for it: a limit of no processes, and either version's freezer.
func (t *tree) hold() {
	writeFile(t.fd, "pids.max", "0")
	writeFile(t.fd, "cgroup.freeze", "1")
	writeFile(t.fd, "freezer.state", "FROZEN")
}

// thaw lets the killed die: a process that the v1 freezer holds does not act on
// SIGKILL (cgroup-v1/freezer-subsystem.rst).
func (t *tree) thaw() {
	writeFile(t.fd, "cgroup.freeze", "0")
	writeFile(t.fd, "freezer.state", "THAWED")
}

// signalAll sends SIGKILL to every process in the tree and counts them.
func (t *tree) signalAll() (int, error) {
	seen, err := signalIn(t.fd)
	if err != nil {
		return 0, err
	}
	err = descend(t.fd, func(_ int, _ string, fd int) error {
		n, err := signalIn(fd)
		seen += n
		return err
	})
	return seen, err
}

// signalIn kills the processes of one directory. A pid that it lists may belong to
// another process by the time it is used: a descriptor is taken first, and used if
// the pid is still listed then.
func signalIn(dir int) (int, error) {
	pids, err := listed(dir)
	if len(pids) == 0 || err != nil {
		return 0, err
	}
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	seen := len(pids)
	held := pids[:0]
	for _, pid := range pids {
		// The rest has its turn in the next round, when descriptors run out.
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			fds, held = append(fds, fd), append(held, pid)
		}
	}
	still, err := listed(dir)
	if err != nil {
		return 0, err
	}
	for i, pid := range held {
		if slices.Contains(still, pid) {
			if err := unix.PidfdSendSignal(fds[i], unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return 0, err
			}
		}
	}
	return seen, nil
}

// listed reads cgroup.procs. Processes of pid namespaces that are not ours or below
// ours appear as 0 there, which names no process that we could signal.
func listed(dir int) (pids []int, err error) {
	text, err := procfs.ReadFile(dir, "cgroup.procs")
	// EOPNOTSUPP: a threaded group, whose processes the group above it lists.
	if gone(err) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		if pid <= 0 {
			return nil, errors.New("a process in it belongs to another pid namespace")
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// gone says whether err means that the group is no more: ENODEV is what a file says
// that was opened in time.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
}

// pause is a wait that doubles: killed processes mostly end within 0.1 ms.
type pause struct{ next time.Duration }

func newPause() *pause { return &pause{50 * time.Microsecond} }

// wait returns ctx's cause if that ends first.
func (p *pause) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t := time.NewTimer(p.next)
	defer t.Stop()
	p.next = min(2*p.next, 10*time.Millisecond)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
