package rundir

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ringwall/ringwall/internal/linux/flock"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// Entry is one sandbox as List finds it.
type Entry struct {
	ID     string
	Live   bool // its owner holds the lock
	Record Record
	Err    error // why Record could not be read
}

// List returns all sandboxes, in the order of their ids.
func (r *Root) List() ([]Entry, error) {
	names, err := r.ids()
	if err != nil {
		return nil, err
	}
	var all []Entry
	for _, id := range names {
		e := Entry{ID: id}
		f, err := os.Open(filepath.Join(r.dir, id, fileName))
		switch {
		case err == nil:
			// A shared lock: two listings at once do not take each other for owners.
			e.Live = errors.Is(flock.TryShared(f), flock.ErrLocked)
			e.Record, e.Err = readRecord(f)
			f.Close()
		case errors.Is(err, fs.ErrNotExist):
			if _, err := os.Lstat(filepath.Join(r.dir, id)); err != nil {
				continue // removed since
			}
			e.Err = err
		default:
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// ids returns the names that can be ours; whatever else lies there is left alone.
func (r *Root) ids() ([]string, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if len(e.Name()) == sandbox.IDLen && sandbox.ValidID(e.Name()) && e.IsDir() {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// readRecord reads the first line.
func readRecord(f *os.File) (Record, error) {
	var rec Record
	line, err := bufio.NewReader(f).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &rec)
	}
	if err != nil {
		return Record{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if rec.Schema != Schema {
		return Record{}, fmt.Errorf("%s: schema %q, this ringwall knows %q", f.Name(), rec.Schema, Schema)
	}
	return rec, nil
}

// Dead locks and returns sandboxes whose owner is gone, at most max of them (all if
// max is 0). The caller cleans up what they own and calls Remove, or Release.
func (r *Root) Dead(max int) ([]*Dir, error) {
	names, err := r.ids()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	all, err := os.Open(r.dir)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	take := flock.Exclusive
	if max > 0 {
		take = flock.TryExclusive // on the way to a run: somebody else is at it
	}
	if err := take(all); err != nil {
		if errors.Is(err, flock.ErrLocked) {
			return nil, nil
		}
		return nil, err
	}
	var dead []*Dir
	for _, id := range names {
		if max > 0 && len(dead) == max {
			break
		}
		d, err := r.lockDead(id)
		if err != nil {
			return dead, err
		}
		if d != nil {
			dead = append(dead, d)
		}
	}
	return dead, nil
}

// lockDead takes over id if its owner is gone; otherwise it returns nil.
func (r *Root) lockDead(id string) (*Dir, error) {
	d := &Dir{path: filepath.Join(r.dir, id)}
	if _, err := os.Lstat(d.path); err != nil {
		return nil, nil
	}
	// Made if it is missing: the owner died between mkdir and this file.
	err := d.open(os.O_CREATE)
	switch {
	case err == nil:
		return d, nil
	case errors.Is(err, flock.ErrLocked), errors.Is(err, fs.ErrNotExist):
		d.Release()
		return nil, nil
	default:
		d.Release()
		return nil, err
	}
}

// Owned returns what the sandbox owns, in the order in which it was written down.
// A torn last line, from an owner killed while writing, is left out: what it names
// was not made yet.
func (d *Dir) Owned() ([]sandbox.Resource, error) {
	f, err := os.Open(d.file.Name())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []sandbox.Resource
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20) // the first line has the command with all its arguments
	lines.Scan()
	for lines.Scan() {
		var res sandbox.Resource
		if json.Unmarshal(lines.Bytes(), &res) == nil {
			all = append(all, res)
		}
	}
	return all, lines.Err()
}

// DirOf returns the directory of a sandbox below runtimeDir, whether it exists or not.
func DirOf(runtimeDir, id string) string { return filepath.Join(runtimeDir, "sandboxes", id) }

// Refs names the live sandboxes of a backend below runtimeDir.
func Refs(runtimeDir, backend string) ([]sandbox.Ref, error) {
	r := &Root{dir: filepath.Join(runtimeDir, "sandboxes")}
	all, err := r.List()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var refs []sandbox.Ref
	for _, e := range all {
		if e.Live && e.Record.Backend == backend {
			refs = append(refs, sandbox.Ref{Backend: backend, ID: e.ID, Version: 1})
		}
	}
	return refs, err
}
