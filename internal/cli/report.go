package cli

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/engine"
	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/workspace"
)

// report is where --result goes; the zero value goes nowhere. It is opened before
// anything runs, so that a result that cannot be written stops the run.
type report struct {
	file   *atomicFile // nil for a descriptor
	fd     *os.File
	failed error
}

func openReport(to string) (*report, error) {
	if to == "" {
		return &report{}, nil
	}
	fd, isFD, err := parseFD(to)
	if err != nil {
		return nil, err
	}
	if isFD {
		unix.CloseOnExec(fd)
		return &report{fd: os.NewFile(uintptr(fd), to)}, nil
	}
	f, err := newAtomicFile(to)
	if err != nil {
		return nil, err
	}
	return &report{file: f}, nil
}

// write writes the result of a run that ended with status, failed by err if not nil.
func (r *report) write(res engine.Result, status int, err error) {
	v := api.Result{Schema: "ringwall.result/1", ID: res.ID, Backend: res.Backend, Reason: string(res.Exit.Reason),
		Code: res.Exit.Code, Signal: int(res.Exit.Signal), Status: status, Usage: api.Usage{WallNS: int64(res.Exit.Usage.Wall),
			UserNS: int64(res.Exit.Usage.User), SystemNS: int64(res.Exit.Usage.System), MaxRSSBytes: res.Exit.Usage.MaxRSS}}
	if w := res.Workspace; w != nil {
		a, m, d := workspace.Count(w.List)
		v.Workspace = &api.Workspace{ID: w.ID, Kept: w.Kept, Added: a, Modified: m, Deleted: d}
	}
	if s := res.Stats; s != nil {
		v.Stats = &api.Stats{CPUNS: int64(s.CPU), MemoryPeakBytes: s.MemoryPeak, OOMKills: s.OOMKills, PIDsHits: s.PIDsHits}
	}
	v.Hidden, v.Denied, v.Weakened = []api.Hidden{}, []api.Denial{}, []string{}
	for _, g := range res.Weakened {
		v.Weakened = append(v.Weakened, string(g))
	}
	for _, f := range res.Hidden {
		v.Hidden = append(v.Hidden, api.Hidden{Path: f.Path, Why: f.Why})
	}
	for _, d := range res.Denied {
		v.Denied = append(v.Denied, api.Denial{Call: d.Call, Detail: d.Detail, Program: d.Program, Count: d.Count, Allow: d.Hint})
	}
	if err != nil {
		v.Error = &api.Error{Code: string(sandbox.CodeOf(err)), Message: err.Error(), Hint: sandbox.HintOf(err)}
	}
	switch {
	case r.file != nil:
		r.failed = printJSON(r.file, v)
	case r.fd != nil:
		r.failed = printJSON(r.fd, v)
	}
}

// close completes the file. It returns what went wrong in writing it.
func (r *report) close() error {
	switch {
	case r.file != nil:
		if err := r.file.finish(r.failed == nil); err != nil {
			return err
		}
		return outputError(r.file.name, r.failed)
	case r.fd != nil:
		return outputError(r.fd.Name(), r.failed)
	}
	return nil
}
