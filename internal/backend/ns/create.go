package ns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/guest"
	"github.com/ringwall/ringwall/internal/guest/client"
	"github.com/ringwall/ringwall/internal/keeper"
	"github.com/ringwall/ringwall/internal/linux/memory"
	"github.com/ringwall/ringwall/internal/linux/paths"
	"github.com/ringwall/ringwall/internal/linux/pidfd"
	"github.com/ringwall/ringwall/internal/linux/userns"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// errNoAttach is why Attach fails.
var errNoAttach = errors.New("this sandbox ends with the command that made it")

// Create makes a sandbox in these steps; the guest's own are in cmd/ringwall-guest.
//
//	host                                    guest
//	ids      take a range of ids (root)
//	cgroup   make a control group
//	spawn    clone into new namespaces
//	         and the group                  starts, waits for its orders
//	record   pid and start time
//	layers   let the caller make them
//	mounts   open and id-map what only
//	         root may open (root)
//	setup    KindSetup, descriptors   →     sources, root, view, enter, network, drop
//	                                  ←     KindReady: confined
//	posture  look at it from outside
//	seal     KindSeal                 →     make itself unreadable
//	                                  ←     KindSealed
func (b *backend) Create(ctx context.Context, s sandbox.Spec) (_ sandbox.Sandbox, err error) {
	if s.Life == sandbox.LifeSession {
		return keeper.Create(ctx, keeper.Request{Program: b.cfg.Keeper, Backend: Name, Config: b.cfg, Spec: s})
	}
	c := &creation{backend: b, spec: s, asked: s.Limits, last: time.Now()}
	c.spec.Limits = s.Limits.OrDefault(memory.Total())
	defer func() {
		c.closeSources()
		if err != nil {
			c.undo()
		}
	}()
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"ids", c.identify},
		{"cgroup", c.makeGroup},
		{"spawn", c.spawn},
		{"record", c.record},
		{"layers", c.makeLayers},
		{"mounts", c.openSources},
		{"setup", c.handOver},
		{"posture", c.checkPosture},
		{"seal", c.seal},
	} {
		if err := step.run(ctx); err != nil {
			return nil, c.explain(step.name, err)
		}
		c.trace(step.name, "host", time.Since(c.last))
		c.last = time.Now()
	}
	return &box{id: s.ID, client: c.client, pidfd: c.pidfd, ids: c.ids, who: c.id, group: c.group, denials: c.denials}, nil
}

// creation is a sandbox in the making.
type creation struct {
	backend *backend
	spec    sandbox.Spec
	asked   sandbox.Limits // those that are no default
	last    time.Time

	id      identity
	ids     *idRange // nil if the caller is not root
	group   *group   // nil if none can be made here
	client  *client.Client
	pid     int
	pidfd   int    // -1 or 0 until the guest runs
	program string // the guest's file
	copied  int    // 0, or a descriptor of the guest in memory
	setup   guest.Setup
	own     []string // paths of the sources to open here
	sources []int
	posture *posture
	denials *denials // nil until the guest has the filter
}

func (c *creation) trace(name, where string, took time.Duration) {
	if c.spec.Trace != nil {
		c.spec.Trace(sandbox.Step{Name: name, Where: where, Took: took})
	}
}

func (c *creation) identify(context.Context) error {
	caller := sandbox.User{UID: os.Geteuid(), GID: os.Getegid()}
	var owner sandbox.User
	if c.spec.Project != "" {
		var st unix.Stat_t
		if err := unix.Stat(c.spec.Project, &st); err != nil {
			return fmt.Errorf("%s: %w", c.spec.Project, err)
		}
		owner.UID, owner.GID = int(st.Uid), int(st.Gid)
	}
	switch {
	case caller.UID != 0:
		c.id = identify(caller, owner, c.spec.As, 0)
	case c.backend.omits("idmap"):
		c.id = unmapped(owner)
	default:
		ids, err := takeRange(c.backend.cfg.RuntimeDir)
		if err != nil {
			return err
		}
		c.ids = ids
		c.id = identify(caller, owner, c.spec.As, ids.base)
	}
	return nil
}

// guestCaps are what the guest needs in its user namespace to build the sandbox,
// and overlayfs for as long as it is mounted: it acts with its mounter's rights.
var guestCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SETPCAP, unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_CHOWN,
	unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_MKNOD, unix.CAP_SETFCAP}

// spawn starts the guest in its namespaces.
func (c *creation) spawn(context.Context) error {
	var err error
	if c.program, err = c.backend.guest.find(c.backend.cfg); err != nil {
		return err
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pair[1])
	c.client = client.New(pair[0])

	c.pidfd = -1
	sys := &syscall.SysProcAttr{
		Cloneflags:  c.namespaces(),
		UidMappings: c.id.uids.sandbox,
		GidMappings: c.id.gids.sandbox,
		PidFD:       &c.pidfd,
	}
	// Its uid is not 0 in the new namespace (started by root it is one that is not
	// mapped at all), so what it gets with the namespace would be lost by exec.
	sys.AmbientCaps = guestCaps
	sys.GidMappingsEnableSetgroups = c.id.ranged
	if c.backend.omits("caps") {
		sys.AmbientCaps = allCaps()
	}
	attr := &syscall.ProcAttr{
		Dir:   "/",
		Files: []uintptr{uintptr(null), uintptr(null), uintptr(null), uintptr(pair[1])},
		Env:   []string{"GOMAXPROCS=1"}, // its threads never have work for two processors
		Sys:   sys,
	}
	return c.exec(func(program string) (err error) {
		err = c.group.fork(sys, func() (err error) {
			c.pid, err = syscall.ForkExec(program, []string{"ringwall-guest"}, attr)
			return err
		})
		if err != nil && c.pidfd >= 0 { // exec failed in a child that is reaped already
			unix.Close(c.pidfd)
			c.pidfd = -1
		}
		return err
	})
}

func (c *creation) namespaces() uintptr {
	flags := uintptr(unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP)
	for _, ns := range []struct {
		layer string
		flag  uintptr
	}{{"pidns", unix.CLONE_NEWPID}, {"ipcns", unix.CLONE_NEWIPC}, {"netns", unix.CLONE_NEWNET}} {
		if !c.backend.omits(ns.layer) {
			flags |= ns.flag
		}
	}
	return flags
}

// allCaps serves the control in which programs keep their capabilities.
func allCaps() []uintptr {
	var all []uintptr
	for n := uintptr(0); n <= unix.CAP_LAST_CAP; n++ {
		all = append(all, n)
	}
	return all
}

// record writes the guest down for whoever has to clean up after us. Should we die
// before, the guest ends by itself: its control socket closes.
func (c *creation) record(context.Context) error {
	if c.spec.Own == nil {
		return nil
	}
	start, err := pidfd.StartTime(c.pid)
	if err != nil {
		return err
	}
	return c.spec.Own(sandbox.Resource{Kind: sandbox.ResourceProcess, Name: strconv.Itoa(c.pid), Start: start})
}

// makeLayers lets the caller make the layers while the guest is starting.
func (c *creation) makeLayers(context.Context) error {
	if c.spec.MakeLayers == nil {
		return nil
	}
	return c.spec.MakeLayers()
}

// openSources decides what the sandbox shows and opens the part of it that is to be
// id-mapped, while the guest is starting.
func (c *creation) openSources(context.Context) error {
	var hide []string
	if c.spec.Hide != nil {
		var err error
		if hide, err = c.spec.Hide(); err != nil {
			return err
		}
	}
	c.setup, c.own = plan(realHost{}, c.spec, hide, c.id, c.backend.cfg.Omit)
	switch {
	case !ownCount(os.Geteuid()):
		c.setup.PIDs = 0
	case c.group != nil && c.group.pids:
		c.setup.PIDs += sparePIDs
	}
	var err error
	if c.posture, err = newPosture(c.id, c.setup); err != nil || len(c.own) == 0 {
		return err
	}
	var idmap int
	err = c.exec(func(program string) (err error) {
		idmap, err = userns.Open(program, c.id.uids.disk, c.id.gids.disk)
		return err
	})
	if err != nil {
		return fmt.Errorf("making an id map: %w", err)
	}
	defer unix.Close(idmap)
	next := 0
	for _, src := range c.setup.Sources {
		if src.Path != "" {
			continue
		}
		fd, err := openMapped(c.own[next], src.Recursive, src.NoLinks, idmap)
		if err != nil {
			return err
		}
		c.sources = append(c.sources, fd)
		next++
	}
	return nil
}

// sparePIDs is by how much the limit of the user namespace is higher than that of the
// control group, if there is one: the group counts what it refuses.
const sparePIDs = 64

// openMapped returns a detached id-mapped copy of the mount at path.
func openMapped(path string, recursive, noLinks bool, idmap int) (int, error) {
	deep := uint(unix.AT_EMPTY_PATH)
	if recursive {
		deep |= unix.AT_RECURSIVE
	}
	fd, err := paths.OpenTree(path, recursive, noLinks)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", path, err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(idmap)}
	if err := unix.MountSetattr(fd, "", deep, &attr); err != nil {
		unix.Close(fd)
		return -1, &notMappable{path: path, err: err}
	}
	return fd, nil
}

// notMappable says that the file system at path supports no id-mapped mounts.
type notMappable struct {
	path string
	err  error
}

func (e *notMappable) Error() string {
	return fmt.Sprintf("%s lies on a file system whose owners cannot be mapped: %v", e.path, e.err)
}

func (e *notMappable) Unwrap() error { return e.err }

// handOver gives the guest its orders and waits until it is confined.
func (c *creation) handOver(ctx context.Context) error {
	ready, alarms, err := c.client.Setup(ctx, c.setup, c.sources...)
	if err != nil {
		return err
	}
	if alarms >= 0 {
		if c.denials, err = listen(alarms, c.spec.AllowUserNS); err != nil {
			return err
		}
	} else if len(c.backend.cfg.Omit) == 0 {
		return wrong("its guest installed no system call filter")
	}
	for _, s := range ready.Steps {
		c.trace(s.Name, "guest", time.Duration(s.Nanos))
	}
	return nil
}

// checkPosture refuses a sandbox that is not what was asked for. Where layers were left
// out on purpose there is nothing to check.
func (c *creation) checkPosture(context.Context) error {
	if len(c.backend.cfg.Omit) > 0 {
		return nil
	}
	if err := c.checkGroup(); err != nil {
		return err
	}
	return c.posture.check(c.pid)
}

// seal shuts the guest's files below /proc, and finds them shut.
func (c *creation) seal(ctx context.Context) error {
	if err := c.client.Seal(ctx); err != nil || len(c.backend.cfg.Omit) > 0 {
		return err
	}
	return checkSealed(c.pid, c.id)
}

func (c *creation) closeSources() {
	guest.CloseAll(c.sources)
	if c.copied > 0 {
		unix.Close(c.copied)
	}
}

// undo ends a guest that never became a sandbox.
func (c *creation) undo() {
	if c.client != nil {
		c.client.Close()
	}
	if c.pid > 0 && c.pidfd >= 0 {
		pidfd.Kill(c.pidfd)
		pidfd.Reap(c.pidfd)
		unix.Close(c.pidfd)
	}
	c.group.end()
	c.denials.close()
	c.ids.release()
}
