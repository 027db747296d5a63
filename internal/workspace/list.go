package workspace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// List returns the records of all workspaces, oldest first. Records that cannot be
// read are left out of the list and reported in err.
func (s *Store) List() (all []Record, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fail("list", "", err)
	}
	var errs []error
	for _, e := range entries {
		if len(e.Name()) != sandbox.IDLen || !sandbox.ValidID(e.Name()) {
			continue
		}
		switch w, err := s.look(e.Name()); {
		case err != nil:
			errs = append(errs, err)
		case w != nil:
			all = append(all, w.rec)
		}
	}
	slices.SortFunc(all, func(a, b Record) int { return a.Created.Compare(b.Created) })
	return all, errors.Join(errs...)
}

// look reads the record of a workspace. It returns nil for one that is being made or
// removed right now.
func (s *Store) look(id string) (*Workspace, error) {
	w := &Workspace{dir: filepath.Join(s.dir, id)}
	err := w.load()
	if err == nil {
		return w, nil
	}
	if info, e := os.Stat(filepath.Join(w.dir, recordName)); e == nil && info.Size() > 0 {
		return nil, err // somebody wrote something that we do not understand
	}
	// The record is written before the upper is made and removed after it.
	if _, e := os.Lstat(w.UpperDir()); e == nil {
		if err = w.load(); err != nil { // not there by now either
			return nil, err
		}
		return w, nil
	}
	abandoned, err := s.claim(id)
	if abandoned == nil {
		return nil, fail("read", id, err)
	}
	defer abandoned.Close()
	// Its owner died while it made or removed it. Recover removes it.
	w.rec = Record{Schema: Schema, ID: id, State: StateActive}
	if info, err := os.Stat(w.dir); err == nil {
		w.rec.Created, w.rec.Updated = info.ModTime(), info.ModTime()
	}
	return w, nil
}

// Find returns the workspace whose id begins with prefix, which has at least four
// characters. It is not locked.
func (s *Store) Find(prefix string) (*Workspace, error) {
	if !sandbox.ValidID(prefix) {
		return nil, &sandbox.Error{Code: sandbox.CodeInvalid, Op: "find", Step: "workspace",
			Err: fmt.Errorf("%q is no workspace id", prefix), Hint: "give at least the first four characters of one; `ringwall workspaces` lists them"}
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fail("find", "", err)
	}
	var ids []string
	for _, e := range entries {
		if len(e.Name()) == sandbox.IDLen && sandbox.ValidID(e.Name()) && strings.HasPrefix(e.Name(), prefix) {
			ids = append(ids, e.Name())
		}
	}
	if len(ids) > 1 {
		return nil, &sandbox.Error{Code: sandbox.CodeInvalid, Op: "find", Step: "workspace",
			Err: fmt.Errorf("%q may be %s", prefix, strings.Join(ids, " or ")), Hint: "give more of the id"}
	}
	if len(ids) == 1 {
		if w, err := s.look(ids[0]); w != nil || err != nil {
			return w, err
		}
	}
	return nil, &sandbox.Error{Code: sandbox.CodeNotFound, Op: "find", Step: "workspace",
		Err: fmt.Errorf("no workspace %q", prefix), Hint: "`ringwall workspaces` lists them"}
}
