// Package all is the explicit list of backends. A new one is a line here.
package all

import (
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
