package cgroup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/procfs"
)

// settle is for how long a group must have been empty: whoever has just made one puts a
// process into it within a few milliseconds.
const settle = 200 * time.Millisecond

// Sweep removes our groups that no record names any more: those of this user without
// processes, wherever they lie, except those whose name keep wants kept. It returns the
// paths of those that it removed. It looks at every group of the host and may take a
// moment.
func Sweep(ctx context.Context, keep func(name string) bool) (removed []string, err error) {
	raw, err := procfs.ReadFile(unix.AT_FDCWD, "/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var stray []string
	for _, m := range parseMounts(raw) {
		stray = append(stray, strays(m.point, keep)...)
	}
	if len(stray) == 0 {
		return nil, nil
	}
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for _, path := range stray {
		if populated(path) {
			continue
		}
		if e := unix.Rmdir(path); e == nil {
			removed = append(removed, path)
		} else if !errors.Is(e, unix.EBUSY) && !errors.Is(e, unix.ENOENT) {
			err = errors.Join(err, &os.PathError{Op: "rmdir", Path: path, Err: e})
		}
	}
	return removed, err
}

// strays lists the groups below dir that Sweep may remove.
func strays(dir string, keep func(name string) bool) (all []string) {
	uid := uint32(os.Geteuid())
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // removed meanwhile, or not for us to see
		}
		name, ours := strings.CutPrefix(d.Name(), Prefix)
		if !ours {
			return nil
		}
		var st unix.Stat_t
		if name != "" && !keep(name) && unix.Lstat(path, &st) == nil && st.Uid == uid && !populated(path) {
			all = append(all, path)
		}
		return fs.SkipDir
	})
	return all
}

func populated(path string) bool {
	text, err := procfs.ReadFile(unix.AT_FDCWD, path+"/cgroup.procs")
	return err != nil || text != ""
}
