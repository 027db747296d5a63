// Package ns is the built-in backend: Linux namespaces, a root built from nothing,
// no capabilities, no_new_privs and a system call filter, without a daemon, an image
// or root's help. It must not be imported by other backends.
package ns

import (
	"context"
	"slices"

	"github.com/ringwall/ringwall/internal/rundir"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// Name is the backend's name on the command line.
const Name = "ns"

type backend struct {
	cfg   Config
	guest guestProgram
	place groupPlace
}

var _ sandbox.Backend = (*backend)(nil)

// New returns the backend. It touches nothing until it is used.
func New(c Config) sandbox.Backend { return &backend{cfg: c} }

func (b *backend) Info() sandbox.Info {
	return sandbox.Info{Name: Name, Summary: "Linux namespaces and a system call filter, built in",
		Features: []sandbox.Feature{sandbox.FeatureDenials, sandbox.FeatureStats}}
}

func (b *backend) omits(layer string) bool { return slices.Contains(b.cfg.Omit, layer) }

// Attach is not possible: these sandboxes end with the command that made them.
func (b *backend) Attach(context.Context, sandbox.Ref) (sandbox.Sandbox, error) {
	return nil, &sandbox.Error{Code: sandbox.CodeUnsupported, Op: "attach", Backend: Name, Err: errNoAttach}
}

// List names the live sandboxes by their directories.
func (b *backend) List(context.Context) ([]sandbox.Ref, error) {
	return rundir.Refs(b.cfg.RuntimeDir, Name)
}
