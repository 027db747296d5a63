package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/procfs"
)

// patience bounds the removal of one group: the kernel takes the last process's
// things apart in the background, and rmdir says EBUSY until then.
const patience = 2 * time.Second

// Remove removes the group and groups below it; call Kill first. It tries for two
// seconds at most, less if ctx ends. It may be called twice.
func (g *Group) Remove(ctx context.Context) error {
	g.Close()
	var errs []error
	for i := len(g.dirs) - 1; i >= 0; i-- {
		if err := unix.Rmdir(g.dirs[i].path); err == nil || errors.Is(err, unix.ENOENT) {
			continue
		}
		t, err := openTree(g.dirs[i].path)
		if err == nil {
			err = t.remove(ctx)
			t.close()
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Remove removes groups of which only the recorded paths are left: it kills what is
// in them and below them. A path that does not exist is not an error. One that is
// not a group of ours is left alone: the error wraps ErrRefused. Every path is
// tried, for four seconds at most.
func Remove(paths []string) error {
	var errs []error
	for _, p := range paths {
		if err := removeRecorded(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func removeRecorded(path string) error {
	t, err := openTree(path)
	if err != nil {
		return err
	}
	defer t.close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := t.kill(ctx); err != nil {
		return err
	}
	return t.remove(context.Background())
}

// remove removes the groups below t, then t.
func (t *tree) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for pause := newPause(); ; {
		err := descend(t.fd, func(parent int, name string, _ int) error { return rmdir(parent, name) })
		if err == nil {
			err = rmdir(t.parent, t.name)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || pause.wait(ctx) != nil {
			return fmt.Errorf("rmdir %s: %w", t.path, err)
		}
	}
}

func rmdir(parent int, name string) error {
	err := procfs.Retry(func() error { return unix.Unlinkat(parent, name, unix.AT_REMOVEDIR) })
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
