package workspace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/paths"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// Workspace is one workspace on disk. Whoever works with it holds a lock on its
// directory, so that nobody takes it for abandoned.
type Workspace struct {
	dir  string
	rec  Record
	lock *os.File // nil: only looked at
}

// Close gives up the lock. It is idempotent.
func (w *Workspace) Close() { w.lock.Close() } // of nil: an error that does not matter

// Lock returns the file whose lock keeps others away, for handing it to another
// process: the lock lasts until all who got it have closed it.
func (w *Workspace) Lock() *os.File { return w.lock }

// ID returns the workspace's id.
func (w *Workspace) ID() string { return w.rec.ID }

// Record returns what is recorded of the workspace.
func (w *Workspace) Record() Record { return w.rec }

// LayersDir is the directory for sandbox.Spec.Layers.
func (w *Workspace) LayersDir() string { return w.dir }

// UpperDir is where the changes of the project lie, as overlayfs writes them.
func (w *Workspace) UpperDir() string { return filepath.Join(w.LayersDir(), sandbox.LayerUpper) }

// write writes the record in one step; a durable one survives a crash of the system.
func (w *Workspace) write(durable bool) error {
	raw, err := json.Marshal(w.rec)
	if err != nil {
		return err
	}
	path := filepath.Join(w.dir, recordName)
	if !durable {
		return os.WriteFile(path, raw, 0o600)
	}
	f, err := os.CreateTemp(w.dir, "."+recordName+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

// load reads the record.
func (w *Workspace) load() error {
	id, path := filepath.Base(w.dir), filepath.Join(w.dir, recordName)
	raw, err := os.ReadFile(path)
	if err != nil {
		return fail("read", id, err)
	}
	if err := json.Unmarshal(raw, &w.rec); err != nil {
		return fail("read", id, fmt.Errorf("%s: %w", path, err))
	}
	if w.rec.Schema != Schema {
		return fail("read", id, fmt.Errorf("%s: schema %q, this ringwall knows %q", path, w.rec.Schema, Schema))
	}
	w.rec.ID = id // the directory's name decides
	return nil
}

// Empty reports whether nothing was written to the project at all: a quick answer
// for most runs. If not, Changes tells what.
func (w *Workspace) Empty() (bool, error) {
	upper, closeUpper, err := w.openUpper()
	if err != nil {
		return false, fail("read", w.rec.ID, err)
	}
	defer closeUpper()
	names, err := upper.Readdirnames(1)
	return len(names) == 0, ignoreEOF(err)
}

// Keep records that the workspace has changes and removes what only a running
// sandbox needs.
func (w *Workspace) Keep(changes []Change) error {
	w.rec.Added, w.rec.Modified, w.rec.Deleted = Count(changes)
	w.rec.State, w.rec.Updated = StateKept, time.Now().UTC()
	if err := w.write(true); err != nil {
		return fail("keep", w.rec.ID, err)
	}
	dir, err := os.Open(w.dir)
	if err != nil {
		return fail("keep", w.rec.ID, err)
	}
	defer dir.Close()
	return fail("keep", w.rec.ID, removeOthers(dir, recordName, sandbox.LayerUpper))
}

// removeOthers removes what is in dir but for the names to keep.
func removeOthers(dir *os.File, keep ...string) error {
	names, err := dir.Readdirnames(-1)
	for _, n := range names {
		if !slices.Contains(keep, n) {
			err = errors.Join(err, paths.RemoveAll(int(dir.Fd()), n))
		}
	}
	return err
}

// removedUpper is what the changes are called while they are removed.
const removedUpper = ".removed"

// Remove removes the workspace with all changes and gives up the lock. It is
// idempotent.
//
// If it is killed, Recover finishes the work: the changes lose their name in one
// step, so that half of them are not taken for all, and the record goes last.
func (w *Workspace) Remove() error {
	defer w.Close()
	dir, err := os.Open(w.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fail("remove", w.rec.ID, err)
	}
	defer dir.Close()
	if err := removeUpper(int(dir.Fd())); err != nil {
		return fail("remove", w.rec.ID, err)
	}
	if err := removeOthers(dir, recordName); err != nil {
		return fail("remove", w.rec.ID, err)
	}
	if err := unix.Unlinkat(int(dir.Fd()), recordName, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fail("remove", w.rec.ID, &fs.PathError{Op: "unlink", Path: filepath.Join(w.dir, recordName), Err: err})
	}
	if err := unix.Rmdir(w.dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fail("remove", w.rec.ID, &fs.PathError{Op: "rmdir", Path: w.dir, Err: err})
	}
	return nil
}

// removeUpper removes the upper layer of the workspace dir, or renames it if there is
// something in it.
func removeUpper(dir int) error {
	err := unix.Unlinkat(dir, sandbox.LayerUpper, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		// One that was killed may have left its own.
		if err := paths.RemoveAll(dir, removedUpper); err != nil {
			return err
		}
		err = unix.Renameat(dir, sandbox.LayerUpper, dir, removedUpper)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
