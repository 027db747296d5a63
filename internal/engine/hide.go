package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/ringwall/ringwall/internal/host"
	"github.com/ringwall/ringwall/internal/keyfiles"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// mostHidden is how many files are hidden. Each takes a mount; a project with more is
// no project but a directory of keys.
const mostHidden = 200

// hide looks for key-like files of the project while the sandbox is being made, and
// has them hidden.
func (r *run) hide(ctx context.Context) {
	if r.spec.Project == "" || r.req.Backend == HostBackend {
		return
	}
	type result struct {
		found []keyfiles.Found
		err   error
	}
	done := make(chan result, 1)
	go func() {
		found, err := keyfiles.Find(ctx, r.spec.Project, mostHidden+len(r.show))
		done <- result{found, err}
	}()
	r.spec.Hide = func() ([]string, error) {
		res := <-done
		if errors.Is(res.err, keyfiles.ErrTooMany) {
			return nil, &sandbox.Error{Code: sandbox.CodeRefused, Op: "run", Step: "hide", Err: res.err,
				Hint: "choose a smaller project with --project DIR, or show the directory that holds them with --show DIR"}
		}
		if res.err != nil {
			return nil, fmt.Errorf("looking for key-like files: %w", res.err)
		}
		var paths []string
		for _, f := range res.found {
			if path := filepath.Join(r.spec.Project, f.Path); !r.shown(path) {
				r.result.Hidden = append(r.result.Hidden, f)
				paths = append(paths, path)
			}
		}
		return paths, nil
	}
}

// shown reports whether the user named path, or a directory above it, to be shown.
func (r *run) shown(path string) bool {
	for _, m := range r.spec.Mounts {
		if m.Source != r.spec.Project && host.Below(m.Source, r.spec.Project) && host.Below(path, m.Source) {
			return true
		}
	}
	return host.Below(path, r.show...)
}

// show resolves --show paths, which lie in the project.
func (p places) show(project string, wanted []string) (all []string, err error) {
	for _, name := range wanted {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.cwd, path)
		}
		// Not the file itself: a link is not followed, and is not hidden either.
		dir, _, err := resolve("/", filepath.Dir(path))
		if err == nil {
			path = filepath.Join(dir, filepath.Base(path))
			_, _, err = resolve("/", path)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, &sandbox.Error{Code: sandbox.CodeNotFound, Op: "run", Err: fmt.Errorf("--show %s: it does not exist", name), Hint: "check the path"}
		case err != nil:
			return nil, &sandbox.Error{Code: sandbox.CodeDenied, Op: "run", Err: fmt.Errorf("--show %s: %w", name, bare(err)), Hint: "make sure that you can read it"}
		case project == "" || !host.Below(path, project):
			return nil, &sandbox.Error{Code: sandbox.CodeInvalid, Op: "run", Err: fmt.Errorf("--show %s: it is not in the project", name),
				Hint: "use --ro for what lies elsewhere"}
		}
		all = append(all, path)
	}
	return all, nil
}
