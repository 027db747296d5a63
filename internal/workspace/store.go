// Package workspace keeps what programs change in a project: the upper layers of
// overlays, with a record of whose they are. It reads them only after the sandbox
// has ended and treats every name, link and attribute in them as hostile.
package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/flock"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// Schema names the format of workspace.json.
const Schema = "ringwall.workspace/1"

// The states of a workspace.
const (
	StateActive = "active" // a sandbox writes to it, or died doing so
	StateKept   = "kept"   // it has changes that nobody has taken or thrown away
)

// Record describes a workspace.
type Record struct {
	Schema          string    `json:"schema"`
	ID              string    `json:"id"`
	Project         string    `json:"project"`
	Command         []string  `json:"command"`
	Materialization string    `json:"materialization"`
	Created         time.Time `json:"created"` // T0: what in the project is newer moved underneath
	Updated         time.Time `json:"updated"`
	State           string    `json:"state"`
	Taint           []string  `json:"taint"`
	Added           int       `json:"added"`
	Modified        int       `json:"modified"`
	Deleted         int       `json:"deleted"`
}

// Store is the directory of all workspaces of a user.
type Store struct{ dir string }

// Open returns the Store below stateDir, made if it is missing.
func Open(stateDir string) (*Store, error) {
	dir := filepath.Join(stateDir, "workspaces")
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fail("open", "", err)
	}
	return &Store{dir: dir}, nil
}

// Create says what workspace to make.
type Create struct {
	ID      string         // see sandbox.NewID
	Project string         // absolute; "" if only shares need layers
	Shares  map[int]string // host directories whose changes are thrown away, by mount index
	Command []string
}

const recordName = "workspace.json"

// Create makes a workspace with empty layers. On error nothing is left behind.
func (s *Store) Create(c Create) (_ *Workspace, err error) {
	now := time.Now().UTC()
	w := &Workspace{dir: filepath.Join(s.dir, c.ID), rec: Record{Schema: Schema, ID: c.ID, Project: c.Project, Command: c.Command,
		Materialization: "overlay", Created: now, Updated: now, State: StateActive, Taint: []string{}}}
	if err := s.claimNew(w); err != nil {
		return nil, fail("create", c.ID, err)
	}
	defer func() {
		if err != nil {
			w.Remove()
			err = fail("create", c.ID, err)
		}
	}()
	if err := w.write(false); err != nil {
		return nil, err
	}
	if c.Project != "" {
		if err := makeLayer(w.LayersDir(), c.Project); err != nil {
			return nil, err
		}
	}
	for i, dir := range c.Shares {
		share := filepath.Join(w.LayersDir(), sandbox.LayerShare+strconv.Itoa(i))
		if err := os.Mkdir(share, 0o700); err != nil {
			return nil, err
		}
		if err := makeLayer(share, dir); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// claimNew makes the directory of w and locks it. The store's own lock keeps others
// from finding the one without the other.
func (s *Store) claimNew(w *Workspace) error {
	all, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer all.Close()
	if err := flock.Shared(all); err != nil {
		return err
	}
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		return err
	}
	if w.lock, err = os.Open(w.dir); err == nil {
		err = flock.TryExclusive(w.lock)
	}
	if err != nil {
		w.Close()
		os.Remove(w.dir)
	}
	return err
}

// claim locks an abandoned workspace. It returns nil if there is none of that id or
// somebody works with it.
func (s *Store) claim(id string) (*Workspace, error) {
	all, err := os.Open(s.dir)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	if err := flock.Exclusive(all); err != nil {
		return nil, err
	}
	w := &Workspace{dir: filepath.Join(s.dir, id), rec: Record{ID: id}}
	if w.lock, err = os.Open(w.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := flock.TryExclusive(w.lock); err != nil {
		w.Close()
		if errors.Is(err, flock.ErrLocked) {
			return nil, nil
		}
		return nil, err
	}
	return w, nil
}

// makeLayer makes upper and work in dir for an overlay over lower, whose owner and
// mode the upper takes: an overlay's root shows the upper's.
func makeLayer(dir, lower string) error {
	var st unix.Stat_t
	if err := unix.Stat(lower, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: lower, Err: err}
	}
	upper, work := filepath.Join(dir, sandbox.LayerUpper), filepath.Join(dir, sandbox.LayerWork)
	for _, d := range []string{upper, work} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 && (st.Uid != 0 || st.Gid != 0) {
		for _, d := range []string{upper, work} {
			if err := os.Lchown(d, int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
		}
	}
	// Not the set-user-id, set-group-id and sticky bits' business of the host.
	return unix.Chmod(upper, st.Mode&0o777)
}

// LayersDir is that of the workspace that Create will make under id.
func (s *Store) LayersDir(id string) string { return filepath.Join(s.dir, id) }

// Recover settles a workspace whose sandbox died: it is kept if it has changes, else
// removed. One that is kept already, is gone, or belongs to a sandbox that lives,
// stays as it is.
func (s *Store) Recover(id string) (kept bool, err error) {
	if len(id) != sandbox.IDLen || !sandbox.ValidID(id) {
		return false, fail("recover", id, fmt.Errorf("%q is no workspace id", id))
	}
	w, err := s.claim(id)
	if w == nil {
		return false, fail("recover", id, err)
	}
	defer w.Close()
	if _, err := os.Lstat(w.UpperDir()); errors.Is(err, fs.ErrNotExist) {
		// The owner died while it made the workspace, perhaps in the middle of the
		// record, which comes first: no program can have run in it.
		return false, w.Remove()
	}
	if err := w.load(); err != nil {
		return false, err
	}
	if w.rec.State == StateKept { // perhaps killed before the rest was removed
		dir, err := os.Open(w.dir)
		if err != nil {
			return true, fail("recover", id, err)
		}
		defer dir.Close()
		return true, fail("recover", id, removeOthers(dir, recordName, sandbox.LayerUpper))
	}
	changes, err := w.Changes()
	if err != nil {
		return false, err
	}
	if len(changes) == 0 {
		return false, w.Remove()
	}
	return true, w.Keep(changes)
}

// fail wraps err for who called us; it returns nil for nil.
func fail(op, id string, err error) error {
	if err == nil {
		return nil
	}
	var done *sandbox.Error
	if errors.As(err, &done) {
		return err
	}
	e := &sandbox.Error{Code: sandbox.CodeInternal, Op: op, ID: id, Step: "workspace", Err: err}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Code, e.Hint = sandbox.CodeExhausted, "free some disk space, or set RINGWALL_STATE_DIR to a directory on another file system"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Code, e.Hint = sandbox.CodeDenied, "make the state directory writable for you, or set RINGWALL_STATE_DIR to one that is"
	}
	return e
}

// splitDir cuts a relative path into its directory ("." if there is none) and name.
func splitDir(path string) (dir, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return ".", path
}
