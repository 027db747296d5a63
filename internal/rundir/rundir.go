// Package rundir is what is known on disk of live sandboxes. Each has a directory
// with one file: its first line describes the sandbox, each further line is something
// that it owns, and its owner holds a lock on it by flock(2) for life. Who can take the
// lock knows that the owner is dead and may clean up. Nothing here survives a reboot
// and nothing is synced to disk.
package rundir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ringwall/ringwall/internal/linux/flock"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// Schema names the format of the first line.
const Schema = "ringwall.sandbox/1"

// Record describes a sandbox.
type Record struct {
	Schema  string    `json:"schema"`
	ID      string    `json:"id"`
	Backend string    `json:"backend"`
	Project string    `json:"project,omitempty"`
	Command []string  `json:"command"`
	Owner   int       `json:"owner_pid"` // of the ringwall that runs it
	Started time.Time `json:"started"`
}

// Root is the directory of all sandboxes of a user.
type Root struct{ dir string }

// Open returns the Root below runtimeDir, made if it is missing.
func Open(runtimeDir string) (*Root, error) {
	dir := filepath.Join(runtimeDir, "sandboxes")
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return &Root{dir: dir}, nil
}

// Dir is one sandbox's directory, whose lock we hold.
type Dir struct {
	path string
	file *os.File // locked; opened for appending
}

// Create makes the directory of a new sandbox and locks it for as long as this
// process lives or until Remove.
func (r *Root) Create(rec Record) (_ *Dir, err error) {
	if len(rec.ID) != sandbox.IDLen || !sandbox.ValidID(rec.ID) {
		return nil, fmt.Errorf("%q is not a sandbox id", rec.ID)
	}
	all, err := os.Open(r.dir)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	// Between mkdir and flock the directory looks dead; this keeps cleaners away.
	if err := flock.Shared(all); err != nil {
		return nil, err
	}
	d := &Dir{path: filepath.Join(r.dir, rec.ID)}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.Remove()
		}
	}()
	if err := d.open(os.O_CREATE | os.O_EXCL); err != nil {
		return nil, err
	}
	rec.Schema = Schema
	return d, d.append(rec)
}

// fileName is the file that is in every sandbox's directory. Nothing but this and
// sandbox.ControlSocket is ever removed.
const fileName = "sandbox"

// open opens and locks the file.
func (d *Dir) open(flags int) (err error) {
	d.file, err = os.OpenFile(filepath.Join(d.path, fileName), os.O_RDWR|os.O_APPEND|flags, 0o600)
	if err != nil {
		return err
	}
	return flock.TryExclusive(d.file)
}

// append adds a line in one write: whole or torn, never mixed.
func (d *Dir) append(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = d.file.Write(append(line, '\n'))
	return err
}

// ID returns the sandbox's id.
func (d *Dir) ID() string { return filepath.Base(d.path) }

// Path returns the directory.
func (d *Dir) Path() string { return d.path }

// Own writes down a resource that the sandbox is about to own.
func (d *Dir) Own(res sandbox.Resource) error { return d.append(res) }

// Remove removes the directory and gives up the lock. It is idempotent.
func (d *Dir) Remove() error {
	// A cleaner that came between the two removals would make the file anew.
	if all, err := os.Open(filepath.Dir(d.path)); err == nil {
		defer all.Close()
		flock.Shared(all)
	}
	var errs []error
	for _, path := range []string{filepath.Join(d.path, sandbox.ControlSocket), filepath.Join(d.path, fileName), d.path} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	d.Release()
	return errors.Join(errs...)
}

// Lock returns the file whose lock the owner holds, for handing it to another owner: the
// lock lasts until all who got it have closed it.
func (d *Dir) Lock() *os.File { return d.file }

// Release gives up the lock and leaves the directory for a cleaner.
func (d *Dir) Release() {
	d.file.Close() // of nil: an error that does not matter
}
