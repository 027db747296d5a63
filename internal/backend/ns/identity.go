package ns

import (
	"syscall"

	"github.com/ringwall/ringwall/internal/sandbox"
)

const (
	// rangeSize is how many ids a sandbox that root started has, all its own.
	rangeSize = 1 << 16

	// defaultID is the uid and gid of programs that root runs on root's files.
	defaultID = 1000

	// firstBase and lastBase bound the ranges: between what systemd-nspawn hands out
	// (up to 1879048191) and the end of what is safe in 32 bits with a sign; nothing
	// else assigns ids there (systemd's UIDS-GIDS document).
	firstBase = 1879048192
	lastBase  = 2147483648 - rangeSize
)

// idMaps say how ids translate for one kind of id, user or group.
type idMaps struct {
	inside  int                    // the program's id inside
	sandbox []syscall.SysProcIDMap // inside ↔ host, for the sandbox's user namespace
	disk    []syscall.SysProcIDMap // on disk ↔ host, for id-mapped mounts; nil: not mapped
}

// singleID is the map of an ordinary user: exactly one id, the user's own, whatever it
// is called inside.
func singleID(inside, own int) idMaps {
	return idMaps{inside: inside, sandbox: []syscall.SysProcIDMap{{ContainerID: inside, HostID: own, Size: 1}}}
}

// asOwner asks for the id that the owner of the project has.
const asOwner = -1

// ownRange is the map of a sandbox that root started: a range of host ids from base
// on that own nothing. The program has the id want or, with asOwner, that of the
// project's owner; only root's becomes 1000: programs are root inside only if they are
// asked to be. On disk the program's id and the owner's swap places, so what a program
// makes belongs to who owns the project.
func ownRange(base, owner, want int) idMaps {
	inside := want
	if want == asOwner {
		if inside = owner; owner == 0 {
			inside = defaultID
		}
	}
	m := idMaps{inside: inside, sandbox: direct(base, inside)}
	if owner == inside {
		m.disk = m.sandbox
		return m
	}
	add := func(disk, in, size int) {
		if size > 0 {
			m.disk = append(m.disk, syscall.SysProcIDMap{ContainerID: disk, HostID: base + in, Size: size})
		}
	}
	low, high := min(owner, inside), max(owner, inside)
	if high >= rangeSize { // that id on disk is the owner's, and nobody takes its place
		add(0, 0, low)
		add(owner, inside, 1)
		add(low+1, low+1, rangeSize-low-1)
		return m
	}
	add(0, 0, low)
	add(low, high, 1)
	add(low+1, low+1, high-low-1)
	add(high, low, 1)
	add(high+1, high+1, rangeSize-high-1)
	return m
}

// direct maps 0 to 65535 onto the range. An id beyond, as directory services hand
// out, takes the range's last place.
func direct(base, id int) []syscall.SysProcIDMap {
	if id < rangeSize {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: base, Size: rangeSize}}
	}
	return []syscall.SysProcIDMap{
		{ContainerID: 0, HostID: base, Size: rangeSize - 1},
		{ContainerID: id, HostID: base + rangeSize - 1, Size: 1},
	}
}

// identity is who a sandbox's programs are.
type identity struct {
	uids, gids idMaps
	ranged     bool // the namespace has a range of ids; else only the program's
	mapped     bool // mounts are id-mapped
}

// identify decides who programs are: caller is who asks, owner who owns the project
// (root if there is none), as whom programs are to run, nil if that does not matter.
func identify(caller, owner sandbox.User, as *sandbox.IDs, base int) identity {
	if caller.UID != 0 {
		want := sandbox.IDs{UID: caller.UID, GID: caller.GID}
		if as != nil {
			want = *as
		}
		return identity{uids: singleID(want.UID, caller.UID), gids: singleID(want.GID, caller.GID)}
	}
	want := sandbox.IDs{UID: asOwner, GID: asOwner}
	if as != nil {
		want = *as
	}
	return identity{uids: ownRange(base, owner.UID, want.UID), gids: ownRange(base, owner.GID, want.GID), ranged: true, mapped: true}
}

// unmapped is the control without id mapping: root's sandbox with the host's ids.
func unmapped(owner sandbox.User) identity {
	all := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: rangeSize}}
	uid, gid := ownRange(0, owner.UID, asOwner).inside, ownRange(0, owner.GID, asOwner).inside
	return identity{uids: idMaps{inside: uid, sandbox: all}, gids: idMaps{inside: gid, sandbox: all}, ranged: true}
}
