package policy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data. The low half of an argument comes first: all
// architectures here are little endian.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

// Return values of a filter.
const (
	retKill  = unix.SECCOMP_RET_KILL_PROCESS
	retAllow = unix.SECCOMP_RET_ALLOW
	retErrno = unix.SECCOMP_RET_ERRNO
	retNotif = unix.SECCOMP_RET_USER_NOTIF
)

// value is what the filter returns for a verdict.
func (v Verdict) value() uint32 {
	switch v.Class {
	case Allow:
		return retAllow
	case Kill:
		return retKill
	case Alarm: // what the owner answers is in package seccomp
		return retNotif
	default:
		return retErrno | uint32(v.Errno)
	}
}

// segment is a run of numbers, from its first to the next segment's, with one rule.
type segment struct {
	first uint32
	rule  Rule
}

// segments cuts the numbers into runs. Every number belongs to one.
func (a Arch) segments(v Variant) []segment {
	byNr := map[uint32]Rule{}
	for name, nr := range a.Calls {
		byNr[nr] = RuleFor(name, v)
	}
	nrs := slices.Sorted(maps.Keys(byNr))
	all := []segment{{0, Rule{Else: unknown}}}
	add := func(first uint32, r Rule) {
		last := &all[len(all)-1]
		switch {
		case last.first == first:
			last.rule = r
		case !reflect.DeepEqual(last.rule, r) || len(r.Clauses) > 0:
			all = append(all, segment{first, r})
		}
	}
	for i, nr := range nrs {
		if i > 0 && nrs[i-1] != nr-1 {
			add(nrs[i-1]+1, Rule{Else: unknown})
		}
		add(nr, byNr[nr])
	}
	add(nrs[len(nrs)-1]+1, Rule{Else: unknown})
	return all
}

// Compile returns the filter v of a: the architecture, then a binary search for the
// call's number, then, for the few calls whose arguments matter, a block of tests.
func Compile(a Arch, v Variant) ([]unix.SockFilter, error) {
	p := []unix.SockFilter{
		load(offArch),
		jump(unix.BPF_JEQ, a.Audit, 1, 0),
		ret(retKill),
		load(offNr),
	}
	if a.X32 {
		p = append(p,
			jump(unix.BPF_JGE, x32Bit, 0, 3),
			jump(unix.BPF_JEQ, noCall, 0, 1),
			ret(unknown.value()),
			ret(retKill))
	}
	tree, err := search(a.segments(v))
	if err != nil {
		return nil, err
	}
	p = append(p, tree...)
	const kernelMax = 4096 // BPF_MAXINSNS
	if len(p) > kernelMax {
		return nil, fmt.Errorf("%d instructions: the kernel takes %d", len(p), kernelMax)
	}
	return p, nil
}

// search returns code that finds the number's segment and answers with its rule. It
// ends in returns on every path.
func search(s []segment) ([]unix.SockFilter, error) {
	if len(s) == 1 {
		return block(s[0].rule)
	}
	mid := len(s) / 2
	low, err := search(s[:mid])
	if err != nil {
		return nil, err
	}
	high, err := search(s[mid:])
	if err != nil {
		return nil, err
	}
	var p []unix.SockFilter
	if len(low) <= 255 {
		p = append(p, jump(unix.BPF_JGE, s[mid].first, uint8(len(low)), 0))
	} else { // conditional jumps reach 255 instructions, the others any
		p = append(p, jump(unix.BPF_JGE, s[mid].first, 0, 1),
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(low))})
	}
	return append(append(p, low...), high...), nil
}

// block returns the code of a rule, which may lose the number: nobody needs it after.
func block(r Rule) ([]unix.SockFilter, error) {
	var p []unix.SockFilter
	for _, c := range r.Clauses {
		var test []unix.SockFilter
		for i := len(c.If) - 1; i >= 0; i-- { // from the end, as jumps need the distance
			cond := c.If[i]
			past := len(test) + 1 // over the rest of the tests and the return
			if past > 255 || cond.Arg < 0 || cond.Arg > 5 {
				return nil, fmt.Errorf("condition %+v cannot be compiled", cond)
			}
			one := []unix.SockFilter{load(uint32(offArgs + 8*cond.Arg))}
			if cond.Mask != 0 {
				one = append(one, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: cond.Mask})
			}
			if cond.Not {
				one = append(one, jump(unix.BPF_JEQ, cond.Value, uint8(past), 0))
			} else {
				one = append(one, jump(unix.BPF_JEQ, cond.Value, 0, uint8(past)))
			}
			test = append(one, test...)
		}
		p = append(append(p, test...), ret(c.Then.value()))
	}
	return append(p, ret(r.Else.value())), nil
}

func load(off uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
}

func jump(op uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, Jt: yes, Jf: no, K: k}
}

func ret(v uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v}
}
