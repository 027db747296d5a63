package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/ringwall/ringwall/internal/linux/cgroup"
	"github.com/ringwall/ringwall/internal/linux/pidfd"
	"github.com/ringwall/ringwall/internal/rundir"
	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/workspace"
)

// Cleaned is what GC did.
type Cleaned struct {
	Sandboxes  []string // removed: their owner was dead
	Workspaces []string // kept: their sandbox died with changes in them
	Groups     []string // control groups removed that no record named
}

// GC removes everything that dead runs left: processes, directories and workspaces
// without changes. Live sandboxes are never touched.
func (e *Engine) GC(ctx context.Context) (Cleaned, error) {
	var c Cleaned
	root, err := rundir.Open(e.dirs.Runtime)
	if err != nil {
		return c, stateError(err)
	}
	dead, err := root.Dead(0)
	if err != nil {
		err = stateError(err)
	}
	for _, d := range dead {
		kept, e := e.clean(d)
		c.Workspaces = append(c.Workspaces, kept...)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("sandbox %s: %w", d.ID(), e))
			continue
		}
		c.Sandboxes = append(c.Sandboxes, d.ID())
	}
	kept, e2 := e.orphans()
	c.Workspaces = append(c.Workspaces, kept...)
	groups, e3 := sweep(ctx, root)
	c.Groups = groups
	return c, errors.Join(err, e2, e3)
}

// sweep removes the control groups of sandboxes whose records are gone.
func sweep(ctx context.Context, root *rundir.Root) ([]string, error) {
	entries, err := root.List()
	if err != nil {
		return nil, stateError(err)
	}
	return cgroup.Sweep(ctx, func(name string) bool {
		recorded := slices.ContainsFunc(entries, func(e rundir.Entry) bool { return e.ID == name })
		return recorded || len(name) != sandbox.IDLen || !sandbox.ValidID(name)
	})
}

// cleanOne removes at most one dead sandbox on the way to a run, so that whoever
// never calls gc does not collect them. What fails here is left for gc to report.
func (e *Engine) cleanOne(root *rundir.Root) {
	dead, _ := root.Dead(1)
	for _, d := range dead {
		e.clean(d)
	}
}

// clean takes back what a dead sandbox owned, last things first, and its directory
// when all else is gone. It returns the workspaces that were kept.
func (e *Engine) clean(d *rundir.Dir) (kept []string, err error) {
	owned, err := d.Owned()
	if err != nil {
		d.Release()
		return nil, err
	}
	for i := len(owned) - 1; i >= 0 && err == nil; i-- {
		var k bool
		if k, err = e.remove(owned[i]); k {
			kept = append(kept, owned[i].Name)
		}
	}
	if err != nil {
		d.Release()
		return kept, err
	}
	return kept, d.Remove()
}

// remove removes one resource. kept says that it was a workspace with changes.
func (e *Engine) remove(res sandbox.Resource) (kept bool, err error) {
	switch res.Kind {
	case sandbox.ResourceProcess:
		pid, err := strconv.Atoi(res.Name)
		if err != nil {
			return false, fmt.Errorf("the record names process %q", res.Name)
		}
		return false, pidfd.KillRecorded(pid, res.Start)
	case sandbox.ResourceCgroup:
		err := cgroup.Remove([]string{res.Name})
		if errors.Is(err, cgroup.ErrRefused) {
			err = fmt.Errorf("the record names a control group that is none of ours: %w", err)
		}
		return false, err
	case sandbox.ResourceWorkspace:
		store, err := workspace.Open(e.dirs.State)
		if err != nil {
			return false, err
		}
		return store.Recover(res.Name)
	default:
		return false, fmt.Errorf("the record names a %q: a newer ringwall wrote it", res.Kind)
	}
}

// orphans settles active workspaces whose sandbox has no record: after a reboot the
// records are gone and the workspaces are not. Those of sandboxes that live are
// locked, also where they have another runtime directory.
func (e *Engine) orphans() (kept []string, err error) {
	store, err := workspace.Open(e.dirs.State)
	if err != nil {
		return nil, err
	}
	all, err := store.List()
	for _, rec := range all {
		if rec.State != workspace.StateActive {
			continue
		}
		k, e := store.Recover(rec.ID)
		err = errors.Join(err, e)
		if k {
			kept = append(kept, rec.ID)
		}
	}
	return kept, err
}

// List returns the sandboxes that live, and those that wait for gc.
func (e *Engine) List() ([]rundir.Entry, error) {
	root, err := rundir.Open(e.dirs.Runtime)
	if err != nil {
		return nil, stateError(err)
	}
	return root.List()
}

// Workspaces returns the kept and active workspaces.
func (e *Engine) Workspaces() ([]workspace.Record, error) {
	store, err := workspace.Open(e.dirs.State)
	if err != nil {
		return nil, err
	}
	return store.List()
}

// stateError explains a failure to keep records.
func stateError(err error) error {
	e := &sandbox.Error{Code: sandbox.CodeInternal, Op: "run", Step: "state", Err: err}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Code, e.Hint = sandbox.CodeExhausted, "free some disk space, or set RINGWALL_RUNTIME_DIR to a directory on another file system"
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Code, e.Hint = sandbox.CodeDenied, "make the directory writable for you, or set RINGWALL_RUNTIME_DIR to one that is"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		e.Code, e.Hint = sandbox.CodeExhausted, "raise the limit on open files (ulimit -n)"
	}
	return e
}
