package main

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/guest"
	"github.com/ringwall/ringwall/internal/linux/paths"
)

// builder builds the sandbox. Its working directory is the new root from newRoot
// on: every path of an Op is resolved beneath it and never through a symbolic link,
// so nothing that a hostile project or image contains can lead a mount elsewhere
// (CVE-2021-30465, CVE-2025-31133).
type builder struct {
	setup   guest.Setup
	sources []int        // detached mounts, by index; -1 once attached
	staged  map[int]bool // sources that overlays use by path
	alarms  int          // descriptor on which the filter's alarms are answered, or -1
	steps   []guest.Step
	last    time.Time
}

// setup carries out a KindSetup: afterwards the calling process is confined.
func setup(payload []byte, fds []int) (*builder, guest.Ready, *failure) {
	m, err := guest.DecodeSetup(payload)
	if err != nil {
		return nil, guest.Ready{}, fail("protocol", "setup", err)
	}
	if m.Version != guest.Version {
		return nil, guest.Ready{}, fail("protocol", "", errors.New("ringwall and its guest are of different builds: install both together"))
	}
	if len(m.Omit) > 0 && !weakBuild {
		return nil, guest.Ready{}, fail("protocol", "", errors.New("asked to leave out a protective layer: refused"))
	}
	umask := unix.Umask(0)
	b := &builder{setup: m, staged: map[int]bool{}, alarms: -1, last: time.Now()}
	for _, s := range []struct {
		name string
		run  func() *failure
	}{
		{"ids", b.takeIDs},
		{"sources", func() *failure { return b.openSources(fds) }},
		{"root", b.newRoot},
		{"view", b.carryOut},
		{"enter", b.enter},
		{"network", b.network},
		{"drop", b.drop},
	} {
		if f := s.run(); f != nil {
			return nil, guest.Ready{}, f
		}
		if weakBuild {
			b.failpoint(s.name)
		}
		now := time.Now()
		b.steps = append(b.steps, guest.Step{Name: s.name, Nanos: int64(now.Sub(b.last))})
		b.last = now
	}
	unix.Umask(umask)
	return b, guest.Ready{Version: guest.Version, Steps: b.steps}, nil
}

// failpoint ends or stops the guest after a step, where the tests ask for it.
func (b *builder) failpoint(step string) {
	if b.omits("end:" + step) {
		os.Exit(exitBroken)
	}
	if b.omits("hang:" + step) {
		time.Sleep(time.Minute)
	}
}

func (b *builder) omits(layer string) bool { return slices.Contains(b.setup.Omit, layer) }

// openSources makes a detached copy of every mount that Ops need while the host's
// root is still ours to see.
func (b *builder) openSources(fds []int) *failure {
	for _, s := range b.setup.Sources {
		if s.Path == "" {
			if len(fds) == 0 {
				return fail("sources", "a descriptor is missing", unix.EBADF)
			}
			b.sources = append(b.sources, fds[0])
			fds = fds[1:]
			continue
		}
		fd, err := paths.OpenTree(s.Path, s.Recursive, s.NoLinks)
		if err != nil {
			return fail("sources", s.Path, err)
		}
		b.sources = append(b.sources, fd)
	}
	guest.CloseAll(fds)
	return nil
}

// rootMountPoint is where the new root hangs until we enter it. It is a directory
// that every system has; the old root with all that it shows there goes away whole.
const rootMountPoint = "/proc"

// newRoot makes an empty root and enters it as working directory.
func (b *builder) newRoot() *failure {
	// In a user namespace mounts are slaves of the host's already; private also
	// keeps what the host mounts later out of what we bind.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fail("root", "making mounts private", err)
	}
	fd, err := newFS("tmpfs", b.attrs(unix.MOUNT_ATTR_NODEV), "mode", "0755")
	if err != nil {
		return fail("root", "tmpfs", err)
	}
	defer unix.Close(fd)
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, rootMountPoint, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fail("root", rootMountPoint, err)
	}
	return fail("root", "entering it", unix.Fchdir(fd))
}

// enter makes the new root the root of this process, detaches the host's and
// freezes the new one.
func (b *builder) enter() *failure {
	for _, fd := range b.sources {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if b.omits("rootfs") { // a control: the host's root, as it was
		if err := unix.Chdir("/"); err != nil {
			return fail("enter", "/", err)
		}
		return fail("enter", rootMountPoint, unix.Unmount(rootMountPoint, unix.MNT_DETACH))
	}
	if err := b.setAttr(unix.AT_FDCWD, ".", b.readOnly(), 0); err != nil {
		return fail("enter", "making / read-only", err)
	}
	// With both arguments the same, the old root ends up on top of the new one
	// (pivot_root(2), notes), from where it is detached: no directory is needed.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fail("enter", "pivot_root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fail("enter", "detaching the host's root", err)
	}
	return fail("enter", "/", unix.Chdir("/"))
}

// network gives the sandbox its name and brings up the loopback device, the only
// one that a new network namespace has.
func (b *builder) network() *failure {
	if err := unix.Sethostname([]byte(b.setup.Hostname)); err != nil {
		return fail("network", "hostname", err)
	}
	if b.omits("netns") {
		return nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail("network", "socket", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fail("network", "lo", err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return fail("network", "lo", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr))
}
