package main

import (
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/guest"
	"github.com/ringwall/ringwall/internal/linux/landlock"
)

// rules says in Landlock's words what the mounts say already: everything can be read
// and executed, written only what is meant to be. Signals and abstract sockets stay
// among the programs. Only the thread that starts programs is put under them; with the
// other threads of the guest they share nothing.
//
// Rules allow and never forbid, so below something writable what is read-only stays the
// business of its mount alone.
//
// No guarantee leans on it: a kernel without it, or before Linux 5.19, whose Landlock
// knows no renames from one directory to another, is as good. nil is then returned.
func (b *builder) rules() (*landlock.Ruleset, *failure) {
	if len(b.setup.Omit) > 0 && !b.omits("all-but-landlock") {
		return nil, nil // a control: the layer that is left out would be covered
	}
	abi := landlock.ABI()
	if abi < 2 {
		return nil, nil
	}
	r, err := landlock.New(abi)
	if err != nil {
		return nil, fail("drop", "landlock", err)
	}
	allow := func(path string, rights uint64) *failure {
		fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
		if err != nil {
			return fail("drop", "landlock: "+path, err)
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if err = unix.Fstat(fd, &st); err == nil {
			err = r.Allow(fd, rights, st.Mode&unix.S_IFMT == unix.S_IFDIR)
		}
		return fail("drop", "landlock: "+path, err)
	}
	f := allow("/", landlock.Read)
	for _, op := range b.setup.Ops {
		switch {
		case f != nil:
		case op.Kind == guest.OpScratch, op.Kind == guest.OpOverlay, op.Kind == guest.OpBind && !op.ReadOnly && !op.Device:
			f = allow(op.Target, landlock.Write)
		case op.Kind == guest.OpProc, op.Kind == guest.OpDevpts, op.Kind == guest.OpBind && op.Device:
			f = allow(op.Target, landlock.Use)
		}
	}
	if f != nil {
		r.Close()
		return nil, f
	}
	return r, nil
}
