package ns

import (
	"errors"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/ringwall/ringwall/internal/guest/blob"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// Config is what the backend needs to know of the host.
type Config struct {
	RuntimeDir string // where live sandboxes are recorded, and id ranges locked
	StateDir   string // where the guest program is kept

	// Guest is the path of a guest program to use in place of the embedded one.
	Guest string

	// Keeper is the path of a program that can be a keeper; "" is the one that runs. See
	// package keeper.
	Keeper string

	// Omit names protective layers to leave out. It is for the test suite's controls
	// and takes a Guest built with the tag ringwall_weak: the real one refuses it.
	Omit []string
}

// guestProgram finds the guest program, once.
type guestProgram struct {
	once sync.Once
	path string
	err  error
}

func (g *guestProgram) find(c Config) (string, error) {
	g.once.Do(func() {
		if g.path = c.Guest; g.path != "" {
			return
		}
		if g.path, g.err = blob.Extract(filepath.Join(c.StateDir, "guest")); g.err != nil {
			e := &sandbox.Error{Code: sandbox.CodeUnsupported, Op: "create", Backend: Name, Step: "guest", Err: g.err}
			switch {
			case errors.Is(g.err, blob.ErrMissing):
				e.Hint = "build it with `make guest`, then build ringwall again"
			case errors.Is(g.err, syscall.ENOSPC), errors.Is(g.err, syscall.EDQUOT):
				e.Code, e.Hint = sandbox.CodeExhausted, "free some disk space, or set RINGWALL_STATE_DIR to a directory on another file system"
			}
			g.err = e
		}
	})
	return g.path, g.err
}
