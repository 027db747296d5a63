package cgroup

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/procfs"
)

// mount is one mounted cgroup hierarchy.
type mount struct {
	v2          bool
	controllers []string // v1 only
	root, point string   // the directory of the hierarchy that is mounted, and where
}

// parseSelf reads /proc/PID/cgroup (cgroups(7)): the group of the process by v1
// controller, and by "" in the v2 hierarchy. Paths are relative to the root of the
// cgroup namespace and begin with "/.." outside of it.
func parseSelf(text string) map[string]string {
	own := map[string]string{}
	for line := range strings.Lines(text) {
		// ID:CONTROLLERS:PATH, and the path may contain colons.
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		if f[0] != "0" && f[1] == "" {
			continue
		}
		for c := range strings.SplitSeq(f[1], ",") {
			own[c] = f[2]
		}
	}
	return own
}

// parseMounts finds the cgroup hierarchies in /proc/PID/mountinfo
// (proc_pid_mountinfo(5)). Hierarchies without controllers (name=systemd) are of no
// use and left out.
func parseMounts(text string) (all []mount) {
	for line := range strings.Lines(text) {
		// Hosts with engines have hundreds of other mounts: skip them fast.
		head, tail, ok := strings.Cut(line, " - cgroup")
		if !ok {
			continue
		}
		f, t := strings.Fields(head), strings.Fields("cgroup"+tail)
		if len(f) < 6 || len(t) < 3 {
			continue
		}
		m := mount{root: procfs.Unescape(f[3]), point: procfs.Unescape(f[4])}
		switch t[0] {
		case "cgroup2":
			m.v2 = true
		case "cgroup":
			for o := range strings.SplitSeq(t[2], ",") {
				switch o {
				case "cpu", "cpuacct", "cpuset", "memory", "pids", "freezer":
					m.controllers = append(m.controllers, o)
				}
			}
			if m.controllers == nil {
				continue
			}
		default:
			continue
		}
		all = append(all, m)
	}
	return all
}

// locate returns the directory below the mount point of the group own, if the mount
// shows it. Containers of old engines mount their own group only: root is then
// "/docker/ID" and so is own. A mount from outside of our cgroup namespace has a
// root of "/..", from which own cannot be reckoned.
func (m mount) locate(own string) (string, bool) {
	if own == "" || own == "/.." || strings.HasPrefix(own, "/../") || m.root == "/.." || strings.HasPrefix(m.root, "/../") {
		return "", false
	}
	if m.root == "/" {
		return path.Join(m.point, own), true
	}
	rest, ok := strings.CutPrefix(own, m.root)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return path.Join(m.point, rest), true
}

// candidate is a directory in which groups could be made.
type candidate struct {
	dir   string
	fixed bool // ours below the mount point, made if missing
}

// candidates lists where in a mounted hierarchy this process might make groups, best
// first.
//
// The own group is best: whatever limits the process (its container, its service)
// limits its sandboxes too. On v2 it gives no controllers, as it has at least us and
// only a group without processes gives them ("no internal processes", cgroups(7));
// the one above does, and is taken where it is delegated to whoever uses it: to an
// ordinary user it is writable only then, for root systemd marks it.
//
// Root's last resort is a fixed directory below the mount point, as engines with the
// cgroupfs driver do it. Limits of the service that we run in do not hold there.
func (m mount) candidates(own string, root bool) (all []candidate) {
	fixed := candidate{path.Join(m.point, "ringwall"), true}
	dir, ok := m.locate(own)
	switch {
	case !ok && root, root && dir == m.point: // what holds there holds in the fixed one
		return []candidate{fixed}
	case !ok:
		return nil
	}
	all = append(all, candidate{dir: dir})
	if above := path.Dir(dir); m.v2 && dir != m.point && (!root || isDelegated(above)) {
		all = append(all, candidate{dir: above})
	}
	if root {
		all = append(all, fixed)
	}
	return all
}

// isDelegated reports whether systemd has given the group in dir away (Delegate=yes).
// It marks it twice (systemd 251), as user.* needs Linux 5.7.
func isDelegated(dir string) bool {
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		var value [8]byte
		if n, err := unix.Getxattr(dir, name, value[:]); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}
