// Package host is rung 0: it runs programs on the host, with nothing in between. It
// exists as the control that attacks on real sandboxes are checked against.
package host

import (
	"context"
	"errors"

	"github.com/ringwall/ringwall/internal/rundir"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// Name is the backend's name on the command line.
const Name = "host"

// Config is what the backend needs to know of the host.
type Config struct {
	RuntimeDir string // where live sandboxes are recorded
}

type backend struct{ cfg Config }

var _ sandbox.Backend = (*backend)(nil)

// New returns the backend.
func New(c Config) sandbox.Backend { return &backend{cfg: c} }

func (b *backend) Info() sandbox.Info {
	return sandbox.Info{Name: Name, Summary: "no isolation at all: the control for tests"}
}

// Detect declares nothing: on this rung nothing holds.
func (b *backend) Detect(context.Context) (sandbox.Report, error) {
	return sandbox.Report{Ready: true, Checks: []sandbox.Check{{Name: "isolation", Status: sandbox.StatusWeaker,
		Detail: "programs run on the host with all your rights"}}}, nil
}

// Create makes nothing. The project is the real one: what programs write is written.
func (b *backend) Create(_ context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
	if s.Root != "" || s.As != nil {
		return nil, &sandbox.Error{Code: sandbox.CodeUnsupported, Op: "create", Backend: Name, ID: s.ID,
			Err:  errors.New("programs run here in the host's own root, as who you are"),
			Hint: "leave out --rootfs and --user, or choose another backend"}
	}
	if s.MakeLayers != nil {
		if err := s.MakeLayers(); err != nil {
			return nil, err
		}
	}
	return &box{id: s.ID}, nil
}

// Attach is not possible: the programs are ordinary children of this process.
func (b *backend) Attach(context.Context, sandbox.Ref) (sandbox.Sandbox, error) {
	return nil, &sandbox.Error{Code: sandbox.CodeUnsupported, Op: "attach", Backend: Name,
		Err: errors.New("programs of this backend end with the command that started them")}
}

// List names the live sandboxes by their directories.
func (b *backend) List(context.Context) ([]sandbox.Ref, error) {
	return rundir.Refs(b.cfg.RuntimeDir, Name)
}
