package policy

// Arch is a native ABI.
type Arch struct {
	GOARCH string
	Audit  uint32            // AUDIT_ARCH_*, as seccomp_data.arch has it
	Calls  map[string]uint32 // every system call that the table knows, by name
	X32    bool              // numbers with bit 30 are another ABI's
}

// Archs are the architectures that have a filter.
var Archs = []Arch{
	{GOARCH: "amd64", Audit: 0xC000003E, Calls: callsAMD64, X32: true},
	{GOARCH: "arm64", Audit: 0xC00000B7, Calls: callsARM64},
}

// x32Bit marks x32's system calls (__X32_SYSCALL_BIT). Kernels without x32 give
// ENOSYS for most of them and run some as the native call (CVE-2014-4508 and later).
const x32Bit = 0x40000000

// noCall is the number of a call that a tracer has cancelled.
const noCall = 0xffffffff

// Data is struct seccomp_data without the instruction pointer.
type Data struct {
	Arch uint32
	Nr   uint32
	Args [6]uint64
}

// Expect is the verdict that the table of v gives on d, found without any BPF.
func (a Arch) Expect(v Variant, d Data) Verdict {
	if d.Arch != a.Audit {
		return Verdict{Class: Kill}
	}
	if a.X32 && d.Nr >= x32Bit && d.Nr != noCall {
		return Verdict{Class: Kill}
	}
	for name, nr := range a.Calls {
		if nr == d.Nr {
			return RuleFor(name, v).decide(d.Args)
		}
	}
	return unknown
}

func (r Rule) decide(args [6]uint64) Verdict {
	for _, c := range r.Clauses {
		fits := true
		for _, cond := range c.If {
			mask := cond.Mask
			if mask == 0 {
				mask = 0xffffffff
			}
			if (uint32(args[cond.Arg])&mask == cond.Value) == cond.Not {
				fits = false
			}
		}
		if fits {
			return c.Then
		}
	}
	return r.Else
}
