// Package api holds the types of everything that Ringwall prints as JSON. It imports
// nothing else of Ringwall. Sizes are bytes, durations nanoseconds, times RFC 3339.
package api

import "time"

// Result is what `ringwall run --result` writes, also when the run failed.
type Result struct {
	Schema    string     `json:"schema"` // "ringwall.result/1"
	ID        string     `json:"id"`     // of the sandbox; "" if none was made
	Backend   string     `json:"backend"`
	Reason    string     `json:"reason"` // exited, signaled, oom, lost; "" if no program ran
	Code      int        `json:"code"`   // the program's exit code, if it exited
	Signal    int        `json:"signal"` // the signal's number, if it was signaled
	Status    int        `json:"status"` // with which ringwall itself ended
	Usage     Usage      `json:"usage"`
	Stats     *Stats     `json:"stats"`     // of the whole sandbox; null where this host does not count
	Workspace *Workspace `json:"workspace"` // null if nothing was changed
	Hidden    []Hidden   `json:"hidden"`    // key-like files of the project that were not shown
	Weakened  []string   `json:"weakened"`  // guarantees that the request gave up, such as by --allow-userns
	Denied    []Denial   `json:"denied"`    // what was tried and refused, in the order in which it came first
	Error     *Error     `json:"error"`     // null unless Ringwall itself failed
}

// Hidden is a file or directory of the project that appeared empty inside.
type Hidden struct {
	Path string `json:"path"` // below the project
	Why  string `json:"why"`
}

// Denial is something that no honest program needs in a sandbox, and that one tried.
// Its program is what the process calls itself: hostile text.
type Denial struct {
	Call    string `json:"call"`
	Detail  string `json:"detail,omitempty"` // CLONE_NEWUSER, AF_ALG …
	Program string `json:"program"`
	Count   int    `json:"count"`
	Allow   string `json:"allow,omitempty"` // the flag that would allow it
}

// Usage is what the program and its children used.
type Usage struct {
	WallNS      int64 `json:"wall_ns"`
	UserNS      int64 `json:"user_ns"`
	SystemNS    int64 `json:"system_ns"`
	MaxRSSBytes int64 `json:"max_rss_bytes"` // of the largest single process
}

// Stats is what all processes of a sandbox used together, also those that were killed.
// A number that this host does not count is -1.
type Stats struct {
	CPUNS           int64 `json:"cpu_ns"`
	MemoryPeakBytes int64 `json:"memory_peak_bytes"` // with files in memory and page cache
	OOMKills        int64 `json:"oom_kills"`
	PIDsHits        int64 `json:"pids_hits"` // processes and threads that the limit refused
}

// Workspace counts the changes of a run.
type Workspace struct {
	ID       string `json:"id"`
	Kept     bool   `json:"kept"`
	Added    int    `json:"added"`
	Modified int    `json:"modified"`
	Deleted  int    `json:"deleted"`
}

// Error is a failure of Ringwall, as opposed to the program's.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Sandboxes is what `ringwall ps --json` prints.
type Sandboxes struct {
	Schema    string    `json:"schema"` // "ringwall.sandboxes/1"
	Sandboxes []Sandbox `json:"sandboxes"`
}

// Sandbox is one sandbox on this host.
type Sandbox struct {
	ID       string    `json:"id"`
	Live     bool      `json:"live"` // false: its owner died; `ringwall gc` removes it
	Backend  string    `json:"backend"`
	Project  string    `json:"project"`
	Command  []string  `json:"command"`
	OwnerPID int       `json:"owner_pid"`
	Started  time.Time `json:"started"`
}

// Workspaces is what `ringwall workspaces --json` prints.
type Workspaces struct {
	Schema     string            `json:"schema"` // "ringwall.workspaces/1"
	Workspaces []WorkspaceRecord `json:"workspaces"`
}

// WorkspaceRecord is a workspace that is kept or in use.
type WorkspaceRecord struct {
	ID       string    `json:"id"`
	Project  string    `json:"project"`
	Command  []string  `json:"command"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	State    string    `json:"state"` // active, kept
	Added    int       `json:"added"`
	Modified int       `json:"modified"`
	Deleted  int       `json:"deleted"`
}

// Cleaned is what `ringwall gc --json` prints.
type Cleaned struct {
	Schema         string   `json:"schema"` // "ringwall.gc/1"
	Sandboxes      []string `json:"sandboxes"`
	KeptWorkspaces []string `json:"kept_workspaces"`
	Groups         []string `json:"groups"` // paths of control groups that no record named
}

// Version is what `ringwall version --json` prints.
type Version struct {
	Schema   string `json:"schema"` // "ringwall.version/1"
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	Protocol int    `json:"guest_protocol"`
}
