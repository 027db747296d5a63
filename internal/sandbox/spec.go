package sandbox

import (
	"os"
	"time"
)

// Spec says what sandbox to create. Paths are absolute and free of symbolic links
// (the engine resolves them); the zero value of a field means "none".
type Spec struct {
	ID  string // 12 characters of [a-z2-7]; see NewID
	Dir string // the sandbox's own directory on the host, mode 0700, made and removed by the engine

	User    User   // who the caller is: whose home and name are shown inside
	As      *IDs   // as whom programs run inside; nil: as the project's owner, or who the backend finds right
	Root    string // host directory shown read-only as the root file system; "" shows the host's system directories
	Project string // host directory shown copy-on-write at its own path; "" is none
	Layers  string // host directory that takes the changes: see LayerUpper; "" only if nothing needs it
	Mounts  []Mount

	Limits Limits

	// Life is how long the sandbox lives.
	Life Life

	// AllowUserNS lets programs make user namespaces, as a browser's own sandbox does.
	// SyscallsFiltered does not hold then: with a namespace of its own a program reaches
	// much more of the kernel.
	AllowUserNS bool

	// MakeLayers makes what Layers names. Create calls it once before it uses them, at
	// a moment at which it would have to wait anyway. Nil: they are there.
	MakeLayers func() error `json:"-"`

	// Hide returns files and directories of the project that appear empty inside. Create
	// calls it once, as it does MakeLayers. Nil: there are none.
	Hide func() ([]string, error) `json:"-"`

	// Hold returns what stays open for as long as a sandbox of LifeSession lives: the
	// locks of its records. Create calls it once, after MakeLayers; the caller may close
	// its own when Create has returned. Nil: nothing is held.
	Hold func() ([]*os.File, error) `json:"-"`

	// Own records a host resource before it is made, so that a later run can
	// remove it should this one die. Nil: nothing is recorded.
	Own func(Resource) error `json:"-"`

	// Trace receives each finished step of the work. Nil: steps are not reported.
	Trace func(Step) `json:"-"`
}

// Life says when a sandbox ends, if nobody destroys it.
type Life int

// The lives of a sandbox.
const (
	LifeCommand Life = iota // with the process that made it
	LifeSession             // with its keeper, a process of its own: it may be attached to
)

// Limits are what a sandbox may use at most. A zero field is the default.
type Limits struct {
	PIDs        int   // processes and threads
	MemoryBytes int64 // with page cache and files in memory; nothing of it is swapped out
}

// The defaults of Limits.
const (
	DefaultPIDs        = 1024
	DefaultMemoryBytes = 4 << 30 // or half of the host's memory, if that is less
)

// OrDefault fills in the defaults for a host that has ram bytes of memory.
func (l Limits) OrDefault(ram int64) Limits {
	if l.PIDs == 0 {
		l.PIDs = DefaultPIDs
	}
	if l.MemoryBytes == 0 {
		l.MemoryBytes = min(DefaultMemoryBytes, ram/2)
	}
	return l
}

// User is the person (or service) on whose behalf a sandbox runs.
type User struct {
	UID, GID int
	Name     string
	Home     string // absolute; an empty directory appears there inside

	// GitName and GitEmail go into the synthesised .gitconfig; "" leaves them out.
	GitName, GitEmail string
}

// IDs are a user's and a group's number inside a sandbox.
type IDs struct{ UID, GID int }

// The layout below Spec.Layers, shared by package workspace, which makes the
// directories and reads them afterwards, and the backends, which mount them.
const (
	LayerUpper = "upper"  // what the project's changes go to
	LayerWork  = "work"   // scratch space of overlayfs, on the same file system
	LayerShare = "share-" // followed by the mount's index: holds its own upper and work
)

// MountMode says what the program may do with a Mount.
type MountMode int

// The modes of a Mount.
const (
	MountReadOnly  MountMode = iota + 1 // reads only
	MountThrowAway                      // writes succeed and are forgotten with the sandbox
	MountReadWrite                      // writes go to the host's file, at once
)

// ControlSocket is the name in Spec.Dir of the socket on which a sandbox of LifeSession
// is attached to.
const ControlSocket = "control"

// Mount shows a host file or directory inside, at its own path.
type Mount struct {
	Source string
	Mode   MountMode
}

// Cmd is a program to start.
type Cmd struct {
	Args []string // Args[0] is looked up on PATH of Env when it has no slash
	Env  []string // the whole environment, "K=V"
	Dir  string   // absolute path inside

	// Standard descriptors as the caller has them. None of them enters the
	// sandbox: bytes are relayed. The caller keeps ownership. Nil is /dev/null.
	Stdin, Stdout, Stderr *os.File
}

// ResourceKind says how a Resource is found and removed.
type ResourceKind string

// The kinds of host resources.
const (
	ResourceProcess   ResourceKind = "process"   // Name is the pid, Start its start time in clock ticks
	ResourceCgroup    ResourceKind = "cgroup"    // Name is the path of a control group: all in it is killed
	ResourceWorkspace ResourceKind = "workspace" // Name is a workspace id: kept if it has changes, else removed
)

// Resource is something on the host that outlives a killed process of ours.
type Resource struct {
	Kind  ResourceKind `json:"kind"`
	Name  string       `json:"name"`
	Start uint64       `json:"start,omitempty"`
}

// Step is one finished piece of work, for `-v` and the step table of the benchmark.
type Step struct {
	Name  string
	Where string // "host" or "guest"
	Took  time.Duration
}
