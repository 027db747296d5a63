// Package sandbox holds the nouns of Ringwall: backends, sandboxes, processes,
// what they promise and how they fail. It imports only the standard library, so
// that every other package may import it. It does nothing itself: package engine
// acts, packages below internal/backend isolate.
package sandbox

import (
	"context"
	"os"
	"time"
)

// Backend is one isolation system, such as Linux namespaces or a virtual machine.
// A Backend holds no state of its own that a restart would lose: List answers from
// what is on disk. All methods may be called from several goroutines at once.
type Backend interface {
	// Info describes the backend. It is the same on every host and never fails.
	Info() Info

	// Detect finds out by trying what the backend can do on this host. It leaves
	// nothing behind. A host that lacks something is a Report with Ready false,
	// not an error; an error means that Detect itself could not be carried out.
	Detect(ctx context.Context) (Report, error)

	// Create makes a sandbox from s and returns when it can start programs.
	// On error nothing is left behind: what was made is undone in reverse order.
	// Create never substitutes weaker isolation for what it cannot provide.
	Create(ctx context.Context, s Spec) (Sandbox, error)

	// Attach reaches a sandbox that another instance of the backend created.
	// A backend whose sandboxes end with their creator answers CodeUnsupported.
	Attach(ctx context.Context, r Ref) (Sandbox, error)

	// List names the live sandboxes of this backend.
	List(ctx context.Context) ([]Ref, error)
}

// Sandbox is one live instance of a Backend.
type Sandbox interface {
	// Ref names the sandbox for Attach and List.
	Ref() Ref

	// Start runs c inside. It returns once the program runs, or with
	// CodeCommandNotFound or CodeNotExecutable when it cannot be run.
	Start(ctx context.Context, c Cmd) (Process, error)

	// Destroy ends everything inside and removes all that the sandbox owns on
	// the host: processes, mounts, namespaces, files. It is idempotent and
	// returns only when nothing is left, or with an error that says what is.
	Destroy(ctx context.Context) error
}

// Process is one program running in a Sandbox.
type Process interface {
	// Wait returns how the program ended, after its output has been delivered.
	// The program's own failure is an Exit; an error is a failure of ours.
	// Wait may be called again and answers the same.
	Wait(ctx context.Context) (Exit, error)

	// Signal delivers sig to the program. A program that has ended is not an error.
	Signal(ctx context.Context, sig os.Signal) error
}

// Info is what a backend is, on every host.
type Info struct {
	Name     string    // as in `--backend NAME`
	Summary  string    // one line for people
	Features []Feature // what its sandboxes can do; see As
}

// Feature names something that a backend's sandboxes can do for the caller. A
// feature is declared if and only if the matching optional interface is implemented.
type Feature string

// FeatureDenials is declared by backends whose sandboxes are DenialListers.
const FeatureDenials Feature = "denials"

// DenialLister is a Sandbox that knows what its programs were refused.
type DenialLister interface {
	// Denied returns what was refused so far, in the order in which it came first. It
	// works after Destroy too.
	Denied() []Denial
}

// Denial is something that no honest program needs in a sandbox, and that one tried.
type Denial struct {
	Call    string // the system call
	Detail  string // what of it: CLONE_NEWUSER, AF_ALG; "" if the call says it all
	Program string // what the process calls itself: hostile text
	Count   int
	Hint    string // what would allow it; "" if nothing does
}

// FeatureStats is declared by backends whose sandboxes are Statsers.
const FeatureStats Feature = "stats"

// Statser is a Sandbox that is accounted for as a whole.
type Statser interface {
	// Stats tells what all programs together have used so far; after Destroy, in all. It
	// fails with CodeUnsupported where this host does not count.
	Stats() (Stats, error)
}

// Stats is what a sandbox has used. A field that this host does not count is -1.
type Stats struct {
	CPU           time.Duration // of all processes, also of those that were killed
	MemoryCurrent int64         // bytes, with the page cache that it caused
	MemoryPeak    int64         // bytes
	OOMKills      int64         // processes that were killed for want of memory
	PIDsHits      int64         // processes and threads that the limit refused
}

// FeatureReattach is declared by backends that make sandboxes of LifeSession, which
// Attach reaches from other processes. Those, and no others, are Detachers.
const FeatureReattach Feature = "reattach"

// Detacher is a Sandbox that lives on without whoever made it.
type Detacher interface {
	// Detach lets go of the sandbox and leaves it as it is: its programs run on, and
	// Attach reaches it again. Nothing but Ref may be called afterwards. It may be
	// called twice.
	Detach() error
}

// Ref names a sandbox across processes. Data is opaque to all but the backend.
type Ref struct {
	Backend string `json:"backend"`
	ID      string `json:"id"`
	Version int    `json:"version"`
	Data    []byte `json:"data,omitempty"`
}

// As finds an optional interface T in v or in what v wraps, as errors.As does
// for errors: a wrapper has a method Unwrap that returns what it wraps.
func As[T any](v any) (T, bool) {
	for v != nil {
		if t, ok := v.(T); ok {
			return t, true
		}
		switch u := v.(type) {
		case interface{ Unwrap() Sandbox }:
			v = u.Unwrap()
		case interface{ Unwrap() Backend }:
			v = u.Unwrap()
		default:
			v = nil
		}
	}
	var zero T
	return zero, false
}
