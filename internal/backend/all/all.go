// Package all is the explicit list of backends. A new one is a line here.
package all

import (
	"encoding/json"
	"fmt"

	"github.com/ringwall/ringwall/internal/backend/host"
	"github.com/ringwall/ringwall/internal/backend/ns"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// Backends returns every backend that is linked into ringwall, the default first.
// runtimeDir and stateDir are where they may keep things.
func Backends(runtimeDir, stateDir string) []sandbox.Backend {
	return []sandbox.Backend{
		ns.New(ns.Config{RuntimeDir: runtimeDir, StateDir: stateDir}),
		host.New(host.Config{RuntimeDir: runtimeDir}),
	}
}

// Kept returns the backend with which a keeper makes its sandbox.
func Kept(name string, config json.RawMessage) (sandbox.Backend, error) {
	if name == ns.Name {
		return ns.Kept(config)
	}
	return nil, fmt.Errorf("sandboxes of backend %q have no keeper", name)
}
