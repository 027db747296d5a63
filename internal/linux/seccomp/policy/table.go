// Package policy is the table behind the system call filter, its compiler to
// classic BPF and an interpreter to check the one against the other. It is linked
// into the generator and into tests only.
package policy

import "slices"

// Class says what kind of answer a system call gets.
type Class uint8

// The classes.
const (
	Allow Class = iota
	// Alarm: no honest program in a sandbox needs it, so an attempt tells something.
	// The owner of the sandbox is asked, who takes note and refuses.
	Alarm
	// Quiet: runtimes probe for it and go on without.
	Quiet
	// Unknown: newer than the table, or clone3; ENOSYS makes programs fall back.
	Unknown
	// Kill: another ABI than the native one, in which the same numbers mean others.
	Kill
)

// Verdict is the answer to one call.
type Verdict struct {
	Class Class
	Errno uint16 // of Alarm, Quiet and Unknown
}

// Cond is a condition on the low 32 bits of an argument. For the arguments that
// are looked at here the kernel uses no more: for ioctl(2) a filter that compares
// all 64 is passed with 1<<32|TIOCSTI.
type Cond struct {
	Arg   int
	Mask  uint32 // 0: all bits
	Value uint32
	Not   bool
}

// Clause is a verdict for calls that meet all of its conditions.
type Clause struct {
	If   []Cond
	Then Verdict
}

// Rule is what the table says of one system call: the first clause that fits, or
// Else.
type Rule struct {
	Clauses []Clause
	Else    Verdict
}

// Error numbers, the same on all architectures of Linux that have a table.
const (
	eperm        = 1
	enosys       = 38
	eafnosupport = 97
)

var (
	allow   = Verdict{Class: Allow}
	alarmed = Verdict{Class: Alarm, Errno: eperm}
	absent  = Verdict{Class: Quiet, Errno: enosys}
	denied  = Verdict{Class: Quiet, Errno: eperm}
	unknown = Verdict{Class: Unknown, Errno: enosys}
)

// Flags of clone(2) and unshare(2) that make namespaces.
const (
	newTime   = 0x00000080 // in clone(2) these bits are the exit signal
	newSpaces = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
)

// alarms are never called by what belongs into a sandbox.
var alarms = []string{
	// Mounts: with a user namespace they are most of the kernel's attack surface.
	"mount", "umount2", "pivot_root", "chroot", "setns",
	"open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "open_tree_attr",
	// Handles reach files that no path inside leads to (Shocker, 2014).
	"open_by_handle_at",
	// Code and images for the kernel.
	"bpf", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
	"create_module", "get_kernel_syms", "query_module",
	// The machine as a whole.
	"reboot", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "settimeofday", "clock_settime",
	"clock_adjtime", "adjtimex", "sethostname", "setdomainname", "iopl", "ioperm", "syslog", "vhangup", "nfsservctl",
}

// quiets are tried by runtimes and libraries that go on without them.
var quiets = map[string]Verdict{
	// Two of the richest sources of kernel vulnerabilities; libuv and liburing take
	// ENOSYS for a kernel that is too old.
	"io_uring_setup": absent, "io_uring_enter": absent, "io_uring_register": absent,
	"userfaultfd": denied, // EPERM is what vm.unprivileged_userfaultfd=0 gives
	// What perf_event_paranoid=3 gives.
	"perf_event_open": denied,
	// Keyrings are not namespaced: what is in them belongs to the host's user
	// (CVE-2016-0728). ENOSYS is what a kernel without keys gives.
	"add_key": absent, "request_key": absent, "keyctl": absent,
	"fanotify_init": denied, "fanotify_mark": denied,
	"lookup_dcookie": absent, "memfd_secret": absent,
	"uselib": absent, "ustat": absent, "sysfs": absent, "_sysctl": absent, "remap_file_pages": absent,
	"lsm_set_self_attr": denied,
}

// rules are the calls whose arguments decide.
var rules = map[string]Rule{
	"clone":   {Clauses: []Clause{{[]Cond{{Arg: 0, Mask: newSpaces, Value: 0, Not: true}}, alarmed}}, Else: allow},
	"unshare": {Clauses: []Clause{{[]Cond{{Arg: 0, Mask: newSpaces | newTime, Value: 0, Not: true}}, alarmed}}, Else: allow},
	// Its flags lie behind a pointer, which a filter cannot follow. C libraries fall
	// back to clone.
	"clone3": {Else: unknown},
	"socket": {Clauses: families, Else: Verdict{Class: Alarm, Errno: eafnosupport}},
	"socketpair": {Clauses: []Clause{{[]Cond{{Arg: 0, Value: afUnix}}, allow}},
		Else: Verdict{Class: Alarm, Errno: eafnosupport}},
	// TIOCSTI types into a terminal (CVE-2016-9016), TIOCLINUX pastes into a console,
	// TIOCSETD loads line disciplines (CVE-2020-14416, n_gsm).
	"ioctl": {Clauses: []Clause{
		{[]Cond{{Arg: 1, Value: 0x5412}}, alarmed},
		{[]Cond{{Arg: 1, Value: 0x541C}}, alarmed},
		{[]Cond{{Arg: 1, Value: 0x5423}}, alarmed}}, Else: allow},
	// 0, ADDR_NO_RANDOMIZE (debuggers), PER_LINUX32 with and without UNAME26, query.
	"personality": {Clauses: []Clause{
		{[]Cond{{Arg: 0, Value: 0}}, allow}, {[]Cond{{Arg: 0, Value: 0x0040000}}, allow},
		{[]Cond{{Arg: 0, Value: 8}}, allow}, {[]Cond{{Arg: 0, Value: 0x20000}}, allow},
		{[]Cond{{Arg: 0, Value: 0x20008}}, allow}, {[]Cond{{Arg: 0, Value: 0xffffffff}}, allow}}, Else: denied},
}

// Address families. All others are refused: AF_ALG (CVE-2026-31431), AF_VSOCK, which
// reaches past network namespaces, AF_PACKET, AF_XDP, AF_KEY, AF_NFC, AF_RDS, AF_TIPC,
// AF_CAN and the rest that a request makes the kernel load.
const (
	afUnix    = 1
	afInet    = 2
	afInet6   = 10
	afNetlink = 16
)

var families = []Clause{
	{[]Cond{{Arg: 0, Value: afUnix}}, allow},
	{[]Cond{{Arg: 0, Value: afInet}}, allow},
	{[]Cond{{Arg: 0, Value: afInet6}}, allow},
	// NETLINK_ROUTE tells programs their addresses. NETLINK_NETFILTER is the way to
	// nf_tables (CVE-2024-1086).
	{[]Cond{{Arg: 0, Value: afNetlink}, {Arg: 2, Value: 0}}, allow},
	// NETLINK_AUDIT and NETLINK_KOBJECT_UEVENT: everything that links libaudit or libudev
	// (sudo, browsers) asks for them at its start and goes on without.
	{[]Cond{{Arg: 0, Value: afNetlink}, {Arg: 2, Value: 9}}, Verdict{Class: Quiet, Errno: eafnosupport}},
	{[]Cond{{Arg: 0, Value: afNetlink}, {Arg: 2, Value: 15}}, Verdict{Class: Quiet, Errno: eafnosupport}},
}

// Variant says which filter is meant: each is a table of its own.
type Variant struct {
	Name string // of the Go variable that holds the compiled filter

	// UserNS lets programs make user namespaces, and others in them, as a browser's
	// own sandbox does. Mounts stay refused.
	UserNS bool

	// NoSetID refuses to make set-user-id and set-group-id files, for sandboxes that write
	// to a directory of the host: the host's own mount of it would honour them.
	NoSetID bool
}

// Variants are the filters that there are.
var Variants = []Variant{{Name: "program"}, {Name: "programUserNS", UserNS: true},
	{Name: "programNoSetID", NoSetID: true}, {Name: "programUserNSNoSetID", UserNS: true, NoSetID: true}}

// setIDs are S_ISUID and S_ISGID.
const setIDs = 0o6000

// modeArg is the argument that holds the mode of calls that give files one. A mode
// that open(2) does not use, without O_CREAT, is mostly 0 or rubbish of no such bits.
var modeArg = map[string]int{"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "creat": 1, "mknod": 1, "mknodat": 2,
	"open": 2, "openat": 3, "mkdir": 1, "mkdirat": 2}

// noSetID is what NoSetID says of a call, if it says something.
func noSetID(name string) (Rule, bool) {
	arg, ok := modeArg[name]
	switch {
	case name == "openat2":
		return Rule{Else: absent}, true // its mode lies behind a pointer; programs fall back
	case name == "open" || name == "openat":
		// Only where a file may be made: without O_CREAT and O_TMPFILE the argument is
		// whatever the register held.
		var clauses []Clause
		for _, flag := range []uint32{0o100, 0o20000000} {
			clauses = append(clauses, Clause{[]Cond{{Arg: arg - 1, Mask: flag, Value: 0, Not: true},
				{Arg: arg, Mask: setIDs, Value: 0, Not: true}}, denied})
		}
		return Rule{Clauses: clauses, Else: allow}, true
	case ok:
		return Rule{Clauses: []Clause{{[]Cond{{Arg: arg, Mask: setIDs, Value: 0, Not: true}}, denied}}, Else: allow}, true
	}
	return Rule{}, false
}

// withUserNS are the calls that the variant UserNS lets through. chroot(2) takes
// CAP_SYS_CHROOT, which a program has only in a namespace that it made.
var withUserNS = []string{"clone", "unshare", "chroot"}

// RuleFor returns what the table says of the system call of that name.
func RuleFor(name string, v Variant) Rule {
	if v.UserNS && slices.Contains(withUserNS, name) {
		return Rule{Else: allow}
	}
	if v.NoSetID {
		if r, ok := noSetID(name); ok {
			return r
		}
	}
	if r, ok := rules[name]; ok {
		return r
	}
	if v, ok := quiets[name]; ok {
		return Rule{Else: v}
	}
	for _, a := range alarms {
		if a == name {
			return Rule{Else: alarmed}
		}
	}
	return Rule{Else: allow}
}
