package guest

// Setup tells the guest how to build the sandbox around itself.
type Setup struct {
	Version  int
	UID, GID int  // inside; what programs run as, and the guest itself once it is ready
	Range    bool // the user namespace has root and a range of ids, not only the program's
	UserNS   bool // programs may make user namespaces
	NoSetID  bool // programs may not make set-user-id and set-group-id files
	PIDs     int  // how many processes and threads there may be; 0: no limit
	Hostname string
	Sources  []Source
	Ops      []Op
	Omit     []string // layers to leave out; only a guest built for tests obeys
}

// Source is a host file or directory that Ops mount: a path, which the guest opens
// with its own rights before it leaves the host's root, or an attached descriptor.
type Source struct {
	Path      string // absolute; "" if a descriptor is attached
	Recursive bool   // with the mounts below it
	NoLinks   bool   // a symbolic link in Path is an error: whoever can change it must not choose what is shown
}

// OpKind is what an Op makes.
type OpKind int

// The kinds of Op. Target is always an absolute path inside.
const (
	OpDir      OpKind = iota + 1 // a directory of Mode, owned by the program if Own
	OpFile                       // a file of Mode with content Data
	OpSymlink                    // a symbolic link to Data
	OpBind                       // Source, read-only if ReadOnly
	OpScratch                    // a writable place in memory, of Mode
	OpOverlay                    // Source below, changes in directory Data of Layers
	OpProc                       // a proc file system
	OpDevpts                     // a devpts file system of its own
	OpReadOnly                   // what is at Target already, made read-only; missing is fine
	OpMerge                      // Source below what earlier Ops made at Target, read-only
	OpMask                       // what is at Target already, hidden; missing is fine
)

// Op is one step in building the sandbox's root. Ops are carried out in order.
type Op struct {
	Kind     OpKind
	Target   string
	Data     string
	Mode     int
	Source   int // index into Setup.Sources
	Layers   int // index into Setup.Sources, of the directory that holds upper and work
	ReadOnly bool
	Device   bool // OpBind: the source is a device node that must stay usable
	Own      bool
}

// Start is a program to start.
type Start struct {
	ID   int
	Args []string
	Env  []string
	Dir  string
	Null [3]bool // standard descriptors that are /dev/null; the others are attached in order
}

// Signal is a signal for a program.
type Signal struct{ ID, Signal int }

// Ready is the guest's answer to Setup.
type Ready struct {
	Version int
	Steps   []Step
}

// Step is a finished step of Setup.
type Step struct {
	Name  string
	Nanos int64
}

// Failed says why a Setup or Start failed.
type Failed struct {
	ID     int // of the Start; 0 for the Setup
	Step   string
	Detail string // what it was done to: a path, mostly
	Errno  int
}

// Started says that a program runs.
type Started struct {
	ID  int
	PID int // as the sandbox counts
}

// Exited says how a program ended.
type Exited struct {
	ID       int
	Status   int // of exit(2), 0 to 255; valid if Signal is 0
	Signal   int
	UserNS   int64
	SystemNS int64
	MaxRSS   int64 // bytes
}

// Encode encodes m.
func (m Setup) Encode() []byte {
	var e encoder
	e.int(m.Version)
	e.int(m.UID)
	e.int(m.GID)
	e.bool(m.Range)
	e.bool(m.UserNS)
	e.bool(m.NoSetID)
	e.int(m.PIDs)
	e.string(m.Hostname)
	e.int(len(m.Sources))
	for _, s := range m.Sources {
		e.string(s.Path)
		e.bool(s.Recursive)
		e.bool(s.NoLinks)
	}
	e.int(len(m.Ops))
	for _, o := range m.Ops {
		e.int(int(o.Kind))
		e.string(o.Target)
		e.string(o.Data)
		e.int(o.Mode)
		e.int(o.Source)
		e.int(o.Layers)
		e.bool(o.ReadOnly)
		e.bool(o.Device)
		e.bool(o.Own)
	}
	e.strings(m.Omit)
	return e.b
}

// DecodeSetup decodes a Setup and checks its indexes.
func DecodeSetup(b []byte) (Setup, error) {
	d := decoder{b: b}
	m := Setup{Version: d.int(), UID: d.int(), GID: d.int(), Range: d.bool(), UserNS: d.bool(), NoSetID: d.bool(), PIDs: d.int(), Hostname: d.string()}
	if n := d.count(10); n > 0 {
		m.Sources = make([]Source, 0, n)
		for range n {
			m.Sources = append(m.Sources, Source{Path: d.string(), Recursive: d.bool(), NoLinks: d.bool()})
		}
	}
	if n := d.count(51); n > 0 {
		m.Ops = make([]Op, 0, n)
		for range n {
			m.Ops = append(m.Ops, Op{Kind: OpKind(d.int()), Target: d.string(), Data: d.string(),
				Mode: d.int(), Source: d.int(), Layers: d.int(),
				ReadOnly: d.bool(), Device: d.bool(), Own: d.bool()})
		}
	}
	m.Omit = d.strings()
	for _, o := range m.Ops {
		if o.Source < 0 || o.Layers < 0 || o.Source > len(m.Sources) || o.Layers > len(m.Sources) {
			d.bad = true
		}
	}
	return m, d.finish()
}

// Encode encodes m.
func (m Start) Encode() []byte {
	var e encoder
	e.int(m.ID)
	e.strings(m.Args)
	e.strings(m.Env)
	e.string(m.Dir)
	for _, null := range m.Null {
		e.bool(null)
	}
	return e.b
}

// DecodeStart decodes a Start.
func DecodeStart(b []byte) (Start, error) {
	d := decoder{b: b}
	m := Start{ID: d.int(), Args: d.strings(), Env: d.strings(), Dir: d.string(),
		Null: [3]bool{d.bool(), d.bool(), d.bool()}}
	return m, d.finish()
}

// Encode encodes m.
func (m Signal) Encode() []byte {
	var e encoder
	e.int(m.ID)
	e.int(m.Signal)
	return e.b
}

// DecodeSignal decodes a Signal.
func DecodeSignal(b []byte) (Signal, error) {
	d := decoder{b: b}
	m := Signal{ID: d.int(), Signal: d.int()}
	return m, d.finish()
}

// Encode encodes m.
func (m Ready) Encode() []byte {
	var e encoder
	e.int(m.Version)
	e.int(len(m.Steps))
	for _, s := range m.Steps {
		e.string(s.Name)
		e.u64(uint64(s.Nanos))
	}
	return e.b
}

// DecodeReady decodes a Ready.
func DecodeReady(b []byte) (Ready, error) {
	d := decoder{b: b}
	m := Ready{Version: d.int()}
	if n := d.count(16); n > 0 {
		m.Steps = make([]Step, 0, n)
		for range n {
			m.Steps = append(m.Steps, Step{Name: d.string(), Nanos: int64(d.u64())})
		}
	}
	return m, d.finish()
}

// Encode encodes m, cutting texts that would not fit a frame.
func (m Failed) Encode() []byte {
	const most = 16 << 10
	if len(m.Detail) > most {
		m.Detail = m.Detail[:most]
	}
	var e encoder
	e.int(m.ID)
	e.string(m.Step)
	e.string(m.Detail)
	e.int(m.Errno)
	return e.b
}

// DecodeFailed decodes a Failed.
func DecodeFailed(b []byte) (Failed, error) {
	d := decoder{b: b}
	m := Failed{ID: d.int(), Step: d.string(), Detail: d.string(), Errno: d.int()}
	return m, d.finish()
}

// Encode encodes m.
func (m Started) Encode() []byte {
	var e encoder
	e.int(m.ID)
	e.int(m.PID)
	return e.b
}

// DecodeStarted decodes a Started.
func DecodeStarted(b []byte) (Started, error) {
	d := decoder{b: b}
	m := Started{ID: d.int(), PID: d.int()}
	return m, d.finish()
}

// Encode encodes m.
func (m Exited) Encode() []byte {
	var e encoder
	e.int(m.ID)
	e.int(m.Status)
	e.int(m.Signal)
	e.u64(uint64(m.UserNS))
	e.u64(uint64(m.SystemNS))
	e.u64(uint64(m.MaxRSS))
	return e.b
}

// DecodeExited decodes an Exited and refuses what no program can end with.
func DecodeExited(b []byte) (Exited, error) {
	d := decoder{b: b}
	m := Exited{ID: d.int(), Status: d.int(), Signal: d.int(),
		UserNS: int64(d.u64()), SystemNS: int64(d.u64()), MaxRSS: int64(d.u64())}
	if m.Status < 0 || m.Status > 255 || m.Signal < 0 || m.Signal > 64 ||
		m.UserNS < 0 || m.SystemNS < 0 || m.MaxRSS < 0 {
		d.bad = true
	}
	return m, d.finish()
}
