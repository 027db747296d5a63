package ns

import (
	"context"
	"os"
	"path/filepath"
	"runtime"

	"github.com/ringwall/ringwall/internal/linux/seccomp"
	"github.com/ringwall/ringwall/internal/sandbox"
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
	r.Guarantees = []sandbox.Guarantee{sandbox.HostFSHidden, sandbox.ROHonoured, sandbox.HostPIDsHidden,
		sandbox.IPCHidden, sandbox.NoNewPrivs, sandbox.CapsDropped, sandbox.NotHostRoot}
	if os.Geteuid() == 0 {
		r.Guarantees = append(r.Guarantees, sandbox.UIDMapped)
		r.Checks = append(r.Checks, sandbox.Check{Name: "ids", Status: sandbox.StatusOK,
			Detail: "each sandbox has a range of ids of its own"})
	} else {
		r.Checks = append(r.Checks, sandbox.Check{Name: "ids", Status: sandbox.StatusWeaker,
			Detail: "programs run under your own uid, the only one that an ordinary user may map",
			Fix:    "as root, each sandbox has a range of ids of its own"})
	}
	r.Guarantees = append(r.Guarantees, sandbox.SyscallsFiltered, sandbox.DevicesHidden, sandbox.NetDefaultDeny,
		sandbox.DiesWhole, sandbox.GuestProtected, sandbox.SecretsAbsent)
	return r, nil
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
