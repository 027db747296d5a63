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

// singleID is the map of an ordinary user: exactly one id, the user's own.
func singleID(id int) idMaps {
	return idMaps{inside: id, sandbox: []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}}
}

// ownRange is the map of a sandbox that root started: a range of host ids from base
// on that own nothing. The program has the id of the project's owner. An owner of 0
// swaps places with 1000: programs are never root inside, and what they make ends up
// root's on disk, as what root itself makes does.
func ownRange(base, owner int) idMaps {
	inside := owner
	if owner == 0 {
		inside = defaultID
	}
	m := idMaps{inside: inside, sandbox: direct(base, inside)}
	if owner != 0 {
		m.disk = m.sandbox
		return m
	}
	m.disk = []syscall.SysProcIDMap{
		{ContainerID: 0, HostID: base + defaultID, Size: 1},
		{ContainerID: 1, HostID: base + 1, Size: defaultID - 1},
		{ContainerID: defaultID, HostID: base, Size: 1},
		{ContainerID: defaultID + 1, HostID: base + defaultID + 1, Size: rangeSize - defaultID - 1},
	}
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
// (root if there is none).
func identify(caller, owner sandbox.User, base int) identity {
	if caller.UID != 0 {
		return identity{uids: singleID(caller.UID), gids: singleID(caller.GID)}
	}
	return identity{uids: ownRange(base, owner.UID), gids: ownRange(base, owner.GID), ranged: true, mapped: true}
}

// unmapped is the control without id mapping: root's sandbox with the host's ids.
func unmapped(owner sandbox.User) identity {
	all := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: rangeSize}}
	uid, gid := ownRange(0, owner.UID).inside, ownRange(0, owner.GID).inside
	return identity{uids: idMaps{inside: uid, sandbox: all}, gids: idMaps{inside: gid, sandbox: all}, ranged: true}
}
