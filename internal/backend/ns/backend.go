// Package ns is the built-in backend: Linux namespaces, a root built from nothing,
// no capabilities, no_new_privs and a system call filter, without a daemon, an image
// or root's help. It must not be imported by other backends.
package ns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ringwall/ringwall/internal/keeper"
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
		Features: []sandbox.Feature{sandbox.FeatureDenials, sandbox.FeatureStats, sandbox.FeatureReattach}}
}

func (b *backend) omits(layer string) bool { return slices.Contains(b.cfg.Omit, layer) }

// Attach reaches sandboxes of LifeSession, through their keepers.
func (b *backend) Attach(ctx context.Context, r sandbox.Ref) (sandbox.Sandbox, error) {
	fail := func(code sandbox.Code, err error, hint string) error {
		return &sandbox.Error{Code: code, Op: "attach", Backend: Name, ID: r.ID, Err: err, Hint: hint}
	}
	if r.Backend != Name || !sandbox.ValidID(r.ID) {
		return nil, fail(sandbox.CodeInvalid, fmt.Errorf("%q of backend %q names no sandbox of this one", r.ID, r.Backend), "")
	}
	if len(r.Data) > 0 {
		return keeper.Attach(ctx, r)
	}
	refs, err := b.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, live := range refs {
		if live.ID == r.ID {
			return nil, fail(sandbox.CodeUnsupported, errNoAttach, "")
		}
	}
	return nil, fail(sandbox.CodeNotFound, errors.New("there is no such sandbox"), "see `ringwall ps`")
}

// List names the live sandboxes by their directories. Those that can be attached to
// have their directory as Data.
func (b *backend) List(context.Context) ([]sandbox.Ref, error) {
	refs, err := rundir.Refs(b.cfg.RuntimeDir, Name)
	for i, r := range refs {
		if dir := rundir.DirOf(b.cfg.RuntimeDir, r.ID); keeper.Has(dir) {
			refs[i].Data = []byte(dir)
		}
	}
	return refs, err
}

// Kept is for keepers: it returns the backend of a Config that Create has handed on.
func Kept(config json.RawMessage) (sandbox.Backend, error) {
	var c Config
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("the configuration of %s: %w", Name, err)
	}
	return New(c), nil
}
