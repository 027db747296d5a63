package cgroup

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/procfs"
)

// Find tells where this process can make groups. It may make the fixed parent of
// root's groups and switch controllers on for it, which stay; otherwise it changes
// nothing. If there is nowhere, the error wraps ErrNone and says why.
func Find() (*Place, error) {
	self, err := procfs.ReadFile(unix.AT_FDCWD, "/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("%w: /proc/self/cgroup: %w", ErrNone, err)
	}
	own, root := parseSelf(self), os.Geteuid() == 0
	// mountinfo costs more than all the rest (3 µs for each mount). Where everything
	// is found at v2's usual place it has nothing to add.
	const usual = "/sys/fs/cgroup"
	if checkType(usual, true) == nil {
		p, err := find(own, []mount{{v2: true, root: "/", point: usual}}, root)
		if err == nil && p.Has("memory") && p.Has("pids") {
			return p, nil
		}
	}
	mounts, err := procfs.ReadFile(unix.AT_FDCWD, "/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("%w: /proc/self/mountinfo: %w", ErrNone, err)
	}
	return find(own, parseMounts(mounts), root)
}

func find(own map[string]string, mounts []mount, root bool) (*Place, error) {
	p := &Place{}
	var reason error
	// A controller that a v1 hierarchy has taken is not there on v2, whether we may
	// use the v1 hierarchy or not.
	v2wants := []string{"memory", "pids", "cpu"}
	for _, m := range mounts {
		v2wants = slices.DeleteFunc(v2wants, func(c string) bool { return slices.Contains(m.controllers, c) })
	}
	for _, m := range mounts {
		if !m.v2 {
			continue
		}
		h, err := place(m, own[""], root, v2wants)
		if err == nil {
			p.hierarchies = append(p.hierarchies, h)
			p.features = features(h.parent)
			break
		}
		reason = cmp.Or(reason, err)
	}
	wants := []string{"memory", "pids"}
	if len(p.hierarchies) == 0 { // otherwise cpu.stat and cgroup.freeze of v2 do
		wants = []string{"memory", "pids", "cpuacct", "freezer"}
	}
	for _, m := range mounts {
		// A new group of the v1 cpuset has no CPUs, and no process can enter.
		if m.v2 || slices.Contains(m.controllers, "cpuset") ||
			!slices.ContainsFunc(m.controllers, func(c string) bool { return slices.Contains(wants, c) && !p.Has(c) }) {
			continue
		}
		h, err := place(m, own[m.controllers[0]], root, nil)
		if err == nil {
			p.hierarchies = append(p.hierarchies, h)
		}
		reason = cmp.Or(reason, err)
	}
	switch {
	case len(p.hierarchies) > 0:
		return p, nil
	case reason == nil:
		return nil, fmt.Errorf("%w: no cgroup file system is mounted", ErrNone)
	default:
		return nil, fmt.Errorf("%w: %w", ErrNone, reason)
	}
}

// place takes the candidate of m whose groups get the most of the v2 controllers
// that are wanted.
func place(m mount, own string, root bool, wants []string) (hierarchy, error) {
	var best hierarchy
	var reason error
	for _, c := range m.candidates(own, root) {
		if err := usable(c, m.v2); err != nil {
			reason = cmp.Or(reason, err)
			continue
		}
		h := hierarchy{v2: m.v2, controllers: m.controllers, parent: c.dir}
		if m.v2 {
			if h.controllers = enable(c.dir, wants); len(h.controllers) < len(wants) && c.fixed {
				enable(m.point, wants)
				h.controllers = enable(c.dir, wants)
			}
		}
		if len(h.controllers) >= len(wants) {
			return h, nil
		}
		if best.parent == "" || len(h.controllers) > len(best.controllers) {
			best = h
		}
	}
	if best.parent != "" {
		return best, nil
	}
	if reason == nil {
		reason = fmt.Errorf("the group of this process, %q, is not part of what is mounted at %s", own, m.point)
	}
	return best, reason
}

// usable says, as an error for people, why no group can be made in c.
func usable(c candidate, v2 bool) error {
	err := checkType(c.dir, v2)
	if c.fixed && errors.Is(err, unix.ENOENT) {
		if err = unix.Mkdir(c.dir, 0o755); err == nil || errors.Is(err, unix.EEXIST) {
			err = checkType(c.dir, v2)
		}
	}
	if err == nil {
		err = unix.Faccessat(unix.AT_FDCWD, c.dir, unix.W_OK, unix.AT_EACCESS)
	}
	if err == nil && v2 {
		// Moving a process needs this file of the group above both its old and its
		// new group (cgroup-v2.rst, "Delegation Containment").
		err = unix.Faccessat(unix.AT_FDCWD, c.dir+"/cgroup.procs", unix.W_OK, unix.AT_EACCESS)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%s is mounted read-only: %w", c.dir, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%s is not delegated to uid %d: %w", c.dir, os.Geteuid(), err)
	default:
		return fmt.Errorf("%s: %w", c.dir, err)
	}
}

var errType = errors.New("this is not the cgroup file system that is expected here")

// checkType looks at the file system itself: a path says nothing.
func checkType(dir string, v2 bool) error {
	var st unix.Statfs_t
	if err := procfs.Retry(func() error { return unix.Statfs(dir, &st) }); err != nil {
		return err
	}
	if got, ok := cgroupType(&st); !ok || got != v2 {
		return errType
	}
	return nil
}

func cgroupType(st *unix.Statfs_t) (v2, ok bool) {
	switch int64(st.Type) {
	case unix.CGROUP2_SUPER_MAGIC:
		return true, true
	case unix.CGROUP_SUPER_MAGIC:
		return false, true
	default:
		return false, false
	}
}

// enable switches controllers on for the groups in the v2 group dir, as far as that
// is possible, and returns those of wants that are on.
func enable(dir string, wants []string) (on []string) {
	if len(wants) == 0 {
		return nil
	}
	on = words(dir+"/cgroup.subtree_control", wants)
	if len(on) == len(wants) {
		return on
	}
	there := words(dir+"/cgroup.controllers", wants)
	if len(there) <= len(on) || !mayEnable(dir) {
		return on
	}
	for _, c := range there {
		// One at a time: cpu can be refused where the others are not (EINVAL, while
		// real-time processes exist: cgroup-v2.rst, "CPU").
		if !slices.Contains(on, c) && writeFile(unix.AT_FDCWD, dir+"/cgroup.subtree_control", "+"+c) == nil {
			on = append(on, c)
		}
	}
	return on
}

// mayEnable says whether dir may hand controllers to its children: it is the real
// root (which has no cgroup.type, Linux 4.14; the root of a cgroup namespace has) or
// has no processes. The kernel refuses the rest only for controllers like memory;
// cpu and pids alone would silently make dir the root of a threaded subtree, whose
// children take no processes.
func mayEnable(dir string) bool {
	err := unix.Faccessat(unix.AT_FDCWD, dir+"/cgroup.type", unix.F_OK, 0)
	if errors.Is(err, unix.ENOENT) {
		return true
	}
	procs, err := procfs.ReadFile(unix.AT_FDCWD, dir+"/cgroup.procs")
	return err == nil && procs == ""
}

// words returns those of wants that the file lists.
func words(file string, wants []string) (found []string) {
	text, err := procfs.ReadFile(unix.AT_FDCWD, file)
	if err != nil {
		return nil
	}
	for w := range strings.FieldsSeq(text) {
		if slices.Contains(wants, w) {
			found = append(found, w)
		}
	}
	return found
}

// features looks for the core files that v2 groups in dir's tree have; dir is never
// the real root, which lacks them.
func features(dir string) []string {
	has := func(name string) bool {
		return unix.Faccessat(unix.AT_FDCWD, dir+"/"+name, unix.F_OK, 0) == nil
	}
	switch {
	case has("cgroup.kill"): // Linux 5.14
		return []string{"kill", "freezer"}
	case has("cgroup.freeze"): // Linux 5.2
		return []string{"freezer"}
	default:
		return nil
	}
}
