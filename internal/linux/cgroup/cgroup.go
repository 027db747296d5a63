// Package cgroup gives one sandbox a control group of its own wherever the caller
// may make one: on hosts with cgroup v2, with v1, or with both (hybrid: controllers
// on v1 hierarchies, and a v2 hierarchy without controllers).
//
// It talks to the cgroup file systems only (no systemd, no D-Bus), decides nothing
// about limits, and knows no type of Ringwall's. Sources: cgroups(7) and, in the
// kernel's tree, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.
package cgroup

import (
	"errors"
	"path"
	"slices"
	"strings"
)

// Prefix begins the last element of every group's path. Remove touches no other.
const Prefix = "ringwall-"

var (
	// ErrNone says that this process can make no group at all. Find wraps it with
	// the reason for people.
	ErrNone = errors.New("no control group can be made here")
	// ErrMissing says that a limit needs a controller that the place does not have.
	ErrMissing = errors.New("the control groups here lack a controller")
	// ErrRefused says that a recorded path does not name one of our groups.
	ErrRefused = errors.New("not a control group of Ringwall")
)

// Place is where this process can make groups: one directory in each hierarchy that
// is of use. It holds no resources and may be shared.
type Place struct {
	hierarchies []hierarchy // the v2 one, if there is one, comes first
	features    []string    // kill, freezer
}

// hierarchy is one mounted tree of groups.
type hierarchy struct {
	v2          bool
	controllers []string // those that a group in parent has
	parent      string   // groups are made in this directory
}

func (h hierarchy) has(controller string) bool { return slices.Contains(h.controllers, controller) }

// Version is "v2", "v1", or "hybrid" when a group is made of both.
func (p *Place) Version() string {
	first, last := p.hierarchies[0].v2, p.hierarchies[len(p.hierarchies)-1].v2
	switch {
	case first && last:
		return "v2"
	case first:
		return "hybrid"
	default:
		return "v1"
	}
}

// Has says what a group made here can do: "memory", "pids" and "cpu" are the
// controllers, "kill" is cgroup.kill (Linux 5.14), "freezer" either version's.
//
// On v1 "cpu" is there only where it shares its hierarchy with cpuacct (as systemd
// mounts them): no limit of ours needs it yet, and each hierarchy costs each sandbox
// 0.2 ms.
func (p *Place) Has(feature string) bool {
	return slices.Contains(p.features, feature) ||
		slices.ContainsFunc(p.hierarchies, func(h hierarchy) bool { return h.has(feature) })
}

// Paths lists the directories that New(name) makes, for the caller to record before
// they are made.
func (p *Place) Paths(name string) []string {
	all := make([]string, len(p.hierarchies))
	for i, h := range p.hierarchies {
		all[i] = path.Join(h.parent, Prefix+name)
	}
	return all
}

// validName keeps names within one path element. A newline is what the kernel
// refuses itself (cgroup_mkdir).
func validName(name string) bool {
	return name != "" && len(Prefix+name) <= 255 && !strings.ContainsAny(name, "/\n\x00")
}
