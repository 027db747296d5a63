package sandbox

// Report is what Detect found on this host.
type Report struct {
	Ready      bool        // whether Create can be expected to work
	Guarantees []Guarantee // what holds here, in the table's order
	Checks     []Check     // one per thing that was tried
}

// Has reports whether g is among the declared guarantees.
func (r Report) Has(g Guarantee) bool {
	for _, have := range r.Guarantees {
		if have == g {
			return true
		}
	}
	return false
}

// Status is the outcome of one Check.
type Status string

// The outcomes of a Check.
const (
	StatusOK      Status = "ok"
	StatusWeaker  Status = "weaker"  // works, without a guarantee that it could have
	StatusMissing Status = "missing" // the backend cannot work here
)

// Check is one thing that Detect tried.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // what the user can do about it
}

// Guarantee is the id of something that the code inside cannot do. The sentences
// are in package guarantee.
type Guarantee string

// The guarantees that some backend declares today. Each is attacked by the
// conformance suite; a row that nothing attacks is not listed.
const (
	HostFSHidden     Guarantee = "host-fs-hidden"
	ROHonoured       Guarantee = "ro-honoured"
	HostPIDsHidden   Guarantee = "host-pids-hidden"
	IPCHidden        Guarantee = "ipc-hidden"
	NoNewPrivs       Guarantee = "no-new-privs"
	CapsDropped      Guarantee = "caps-dropped"
	NotHostRoot      Guarantee = "not-host-root"
	UIDMapped        Guarantee = "uid-mapped"
	SyscallsFiltered Guarantee = "syscalls-filtered"
	DevicesHidden    Guarantee = "devices-hidden"
	NetDefaultDeny   Guarantee = "net-default-deny"
	MemCapped        Guarantee = "mem-capped"
	PIDsCapped       Guarantee = "pids-capped"
	DiesWhole        Guarantee = "dies-whole"
	GuestProtected   Guarantee = "guest-protected"
	SecretsAbsent    Guarantee = "secrets-absent"
)
