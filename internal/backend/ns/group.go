package ns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/cgroup"
	"github.com/ringwall/ringwall/internal/linux/procfs"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// groupPlace finds where control groups can be made, once.
type groupPlace struct {
	once  sync.Once
	place *cgroup.Place
	err   error // why there is none
}

func (p *groupPlace) find() (*cgroup.Place, error) {
	p.once.Do(func() { p.place, p.err = cgroup.Find() })
	return p.place, p.err
}

// group is a sandbox's control group. A nil group is that of a host that gives none:
// a missing guarantee, which Detect tells.
type group struct {
	*cgroup.Group
	paths []string
	pids  bool // it counts processes

	mu    sync.Mutex
	stats cgroup.Stats // once noted
	ended bool
}

// errNoGroup is why there are no Stats.
var errNoGroup = errors.New("this sandbox has no control group of its own")

// delegateHint is what gives control groups to whoever has none.
func delegateHint() string {
	if os.Geteuid() == 0 {
		return "have the container or service that ringwall runs in delegate its control groups: a writable /sys/fs/cgroup, Delegate=yes"
	}
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return "run ringwall as root: there is no systemd here that could delegate control groups to you"
	}
	return "start it in a unit that systemd delegates to you: systemd-run --user --scope -p Delegate=yes ringwall …"
}

// makeGroup makes the control group, with its limits, where this host lets us.
func (c *creation) makeGroup(context.Context) error {
	if c.backend.omits("cgroup") {
		return nil
	}
	place, err := c.backend.place.find()
	if lacks := err != nil || !place.Has("memory"); lacks && c.asked.MemoryBytes > 0 {
		if err == nil {
			err = errors.New("the control groups here have no controller for memory")
		}
		return &sandbox.Error{Code: sandbox.CodeUnsupported, Op: "create", Backend: Name, ID: c.spec.ID, Step: "cgroup",
			Err: fmt.Errorf("memory cannot be limited: %w", err), Hint: delegateHint()}
	}
	if err != nil {
		return nil
	}
	paths := place.Paths(c.spec.ID)
	for _, path := range paths {
		if c.spec.Own == nil {
			break
		}
		if err := c.spec.Own(sandbox.Resource{Kind: sandbox.ResourceCgroup, Name: path}); err != nil {
			return err
		}
	}
	var limits cgroup.Limits
	if place.Has("memory") {
		limits.MemoryBytes = c.spec.Limits.MemoryBytes
	}
	if place.Has("pids") && !c.backend.omits("pids") {
		limits.PIDs = c.spec.Limits.PIDs
	}
	g, err := place.New(c.spec.ID, limits)
	if err != nil {
		return fmt.Errorf("making a control group: %w", err)
	}
	c.group = &group{Group: g, paths: paths, pids: limits.PIDs > 0,
		stats: cgroup.Stats{CPUTotal: -1, CPUUser: -1, CPUSystem: -1, MemoryCurrent: -1, MemoryPeak: -1, OOMKills: -1, PIDsHits: -1}}
	return nil
}

// fork calls do, which clones as sys says: into the group.
func (g *group) fork(sys *syscall.SysProcAttr, do func() error) error {
	if g == nil {
		return do()
	}
	sys.CgroupFD, sys.UseCgroupFD = g.FD()
	return g.Fork(do)
}

// checkGroup finds the guest in its group, in every hierarchy.
func (c *creation) checkGroup() error {
	if c.group == nil {
		return nil
	}
	raw, err := procfs.ReadFile(unix.AT_FDCWD, fmt.Sprintf("/proc/%d/cgroup", c.pid))
	if err != nil {
		return err
	}
	name, in := "/"+cgroup.Prefix+c.spec.ID, 0
	for line := range strings.Lines(raw) {
		if strings.HasSuffix(strings.TrimSuffix(line, "\n"), name) {
			in++
		}
	}
	if in < len(c.group.paths) { // v1 may count one for several controllers
		return wrong("its guest is in %d of %d control groups", in, len(c.group.paths))
	}
	return nil
}

// note takes down what was used, once its processes have been killed: the kernel is
// busy with them for a while yet.
func (g *group) note() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if s, err := g.Group.Stats(); err == nil {
		g.stats = s
	}
}

// end removes the group, when all its processes have ended. It may be called twice.
func (g *group) end() error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return nil
	}
	// All of it has ended with its PID namespace; a process that was moved in from
	// elsewhere has not.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := g.Remove(ctx)
	if err != nil {
		if e := g.Kill(ctx); e == nil {
			err = g.Remove(ctx)
		}
	}
	g.ended = err == nil
	return err
}

// now returns what has been used so far.
func (g *group) now() (cgroup.Stats, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return g.stats, nil
	}
	return g.Group.Stats()
}

// ranOut reports whether the kernel killed something in it for want of memory.
func (g *group) ranOut() bool {
	if g == nil {
		return false
	}
	s, err := g.now()
	return err == nil && s.OOMKills > 0
}

// Stats tells what all programs together have used.
func (b *box) Stats() (sandbox.Stats, error) {
	if b.group == nil {
		return sandbox.Stats{}, &sandbox.Error{Code: sandbox.CodeUnsupported, Op: "stats", Backend: Name, ID: b.id, Err: errNoGroup,
			Hint: delegateHint()}
	}
	s, err := b.group.now()
	if err != nil {
		return sandbox.Stats{}, &sandbox.Error{Code: sandbox.CodeInternal, Op: "stats", Backend: Name, ID: b.id, Err: err}
	}
	return sandbox.Stats{CPU: time.Duration(s.CPUTotal), MemoryCurrent: s.MemoryCurrent, MemoryPeak: s.MemoryPeak,
		OOMKills: s.OOMKills, PIDsHits: s.PIDsHits}, nil
}

// groupFeatures tells what control groups there are on this host, and what that gives.
func (b *backend) groupFeatures() (memory, pids bool, check sandbox.Check) {
	place, err := b.place.find()
	if err != nil {
		return false, false, sandbox.Check{Name: "cgroup", Status: sandbox.StatusWeaker,
			Detail: err.Error() + ": memory has no limit, and sandboxes are not accounted for",
			Fix:    delegateHint()}
	}
	memory, pids = place.Has("memory"), place.Has("pids")
	var lacks []string
	for _, controller := range []string{"memory", "pids"} {
		if !place.Has(controller) {
			lacks = append(lacks, controller)
		}
	}
	check = sandbox.Check{Name: "cgroup", Status: sandbox.StatusOK, Detail: "each sandbox has a control group (" + place.Version() + ") with limits on memory and processes"}
	if len(lacks) > 0 {
		check.Status = sandbox.StatusWeaker
		check.Detail = fmt.Sprintf("each sandbox has a control group (%s), which has no controller for %s here", place.Version(), strings.Join(lacks, " and "))
		check.Fix = delegateHint()
	}
	return memory, pids, check
}
