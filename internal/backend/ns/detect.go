package ns

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/landlock"
	"github.com/ringwall/ringwall/internal/linux/seccomp"
	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/sandbox/guarantee"
)

// Detect builds a sandbox with a project and takes it apart again. A sandbox exists
// only with all its layers, so what holds is known once one could be built; what
// differs between callers is the ids.
func (b *backend) Detect(ctx context.Context) (sandbox.Report, error) {
	var r sandbox.Report
	if !seccomp.Supported() {
		r.Checks = append(r.Checks, sandbox.Check{Name: "seccomp", Status: sandbox.StatusMissing,
			Detail: "there is no system call filter for " + runtime.GOARCH + " yet", Fix: "use linux/amd64 or linux/arm64"})
		return r, nil
	}
	if err := b.trial(ctx); err != nil {
		r.Checks = append(r.Checks, sandbox.Check{Name: "create", Status: sandbox.StatusMissing,
			Detail: err.Error(), Fix: sandbox.HintOf(err)})
		return r, nil
	}
	r.Ready = true
	r.Checks = append(r.Checks, sandbox.Check{Name: "create", Status: sandbox.StatusOK,
		Detail: "a sandbox was made with all its layers and taken apart"})
	if os.Geteuid() == 0 {
		r.Checks = append(r.Checks, sandbox.Check{Name: "ids", Status: sandbox.StatusOK,
			Detail: "each sandbox has a range of ids of its own"})
	} else {
		r.Checks = append(r.Checks, sandbox.Check{Name: "ids", Status: sandbox.StatusWeaker,
			Detail: "programs run under your own uid, the only one that an ordinary user may map",
			Fix:    "as root, each sandbox has a range of ids of its own"})
	}
	if abi := landlock.ABI(); abi >= 2 {
		r.Checks = append(r.Checks, sandbox.Check{Name: "landlock", Status: sandbox.StatusOK,
			Detail: fmt.Sprintf("ABI %d: what can be written is limited a second time", abi)})
	} else {
		r.Checks = append(r.Checks, sandbox.Check{Name: "landlock", Status: sandbox.StatusWeaker,
			Detail: "this kernel has no Landlock that is of use; no guarantee leans on it", Fix: "Linux 5.19 or later, with landlock in lsm="})
	}
	memory, pids, check := b.groupFeatures()
	r.Checks = append(r.Checks, check)
	if pids = pids || ownCount(os.Geteuid()); !pids {
		r.Checks = append(r.Checks, sandbox.Check{Name: "pids", Status: sandbox.StatusWeaker,
			Detail: "this kernel counts your processes on the whole host: there is no limit inside", Fix: "Linux 5.14 or later"})
	}
	r.Guarantees = declared(os.Geteuid(), memory, pids)
	return r, nil
}

// declared are the guarantees that hold for sandboxes started by uid, where memory is
// limited and processes are counted, or not.
func declared(uid int, memory, pids bool) []sandbox.Guarantee {
	var all []sandbox.Guarantee
	for _, row := range guarantee.Table {
		if row.ID == sandbox.UIDMapped && uid != 0 || row.ID == sandbox.MemCapped && !memory || row.ID == sandbox.PIDsCapped && !pids {
			continue
		}
		all = append(all, row.ID)
	}
	return all
}

// ownCount reports whether the processes of a sandbox are counted by themselves: root
// gives each sandbox ids of its own, and since Linux 5.14 each user namespace counts.
func ownCount(uid int) bool {
	var u unix.Utsname
	if uid == 0 || unix.Uname(&u) != nil {
		return uid == 0
	}
	var major, minor int
	fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return major > 5 || major == 5 && minor >= 14
}

// trial makes a sandbox on a project that it makes, and destroys both.
func (b *backend) trial(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp(b.cfg.StateDir, "detect-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := sandbox.Spec{ID: sandbox.NewID(), Dir: dir, Project: filepath.Join(dir, "project"), Layers: filepath.Join(dir, "layers"),
		User: sandbox.User{UID: os.Geteuid(), GID: os.Getegid(), Name: "user", Home: "/home/user"}}
	for _, d := range []string{s.Project, s.Layers, filepath.Join(s.Layers, sandbox.LayerUpper), filepath.Join(s.Layers, sandbox.LayerWork)} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	box, err := b.Create(ctx, s)
	if err != nil {
		return err
	}
	return box.Destroy(ctx)
}
