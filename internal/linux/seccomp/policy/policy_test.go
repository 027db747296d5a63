package policy

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// auditI386 is the architecture under which int 0x80 arrives on amd64.
const auditI386 = 0x40000003

// values are what arguments are tried with: everything the table looks for, its
// neighbours, and the same with bits above 32, which the kernel does not see.
func values() []uint64 {
	v := []uint64{0, 1, 2, 3, 8, 9, 10, 15, 16, 17, 38, 40, 0x11, 0x80, 0x5411, 0x5412, 0x5413, 0x541C, 0x5423,
		0x20000, 0x20008, 0x40000, 0x7fffffff, 0x80000000, 0xffffffff, 0x01200011, 0x003d0f00}
	for bit := range 32 {
		v = append(v, 1<<bit)
	}
	for _, x := range v[:len(v):len(v)] {
		v = append(v, x|1<<32, x|0xffffffff00000000)
	}
	return v
}

// modes are values of flags and modes of calls that make files.
var modes = []uint64{0, 0o644, 0o755, 0o1777, 0o2000, 0o4755, 0o6000, 0o100, 0o102, 0o20200002, 0o20000000, 0x80000000 | 0o4000,
	0xffffffff, 1<<32 | 0o4755, 1<<32 | 0o644, 0xffffffff00000000}

// TestEveryCell compares the compiled filter with the table for every architecture,
// number and value of an argument.
func TestEveryCell(t *testing.T) {
	vals := values()
	for _, a := range Archs {
		for _, v := range Variants {
			testEveryCell(t, a, v, vals)
		}
	}
}

func testEveryCell(t *testing.T, a Arch, v Variant, vals []uint64) {
	p, err := Compile(a, v)
	if err != nil {
		t.Fatal(err)
	}
	nrs := []uint32{noCall, x32Bit, x32Bit | 1, x32Bit | 165, 0x80000000, x32Bit - 1}
	for nr := range uint32(1024) {
		nrs = append(nrs, nr, nr|x32Bit)
	}
	known := map[uint32]Rule{}
	for name, nr := range a.Calls {
		known[nr] = RuleFor(name, v)
	}
	for _, nr := range nrs {
		for _, arch := range []uint32{a.Audit, auditI386, 0, ^uint32(0)} {
			d := Data{Arch: arch, Nr: nr}
			testCell(t, a, v, p, d)
			if len(known[nr].Clauses) == 0 || arch != a.Audit {
				continue
			}
			if v.NoSetID { // flags and modes lie further back, and the rest is as without
				for _, v0 := range modes {
					for _, v1 := range modes {
						d.Args = [6]uint64{0, v0, v1, v1}
						testCell(t, a, v, p, d)
						d.Args = [6]uint64{0, 0, v0, v1}
						testCell(t, a, v, p, d)
					}
				}
				continue
			}
			for _, v0 := range vals {
				for _, v1 := range vals {
					d.Args = [6]uint64{v0, v1, v1}
					testCell(t, a, v, p, d)
				}
			}
		}
	}
}

func testCell(t *testing.T, a Arch, v Variant, p []unix.SockFilter, d Data) {
	t.Helper()
	got, _, err := Interpret(p, d)
	if want := a.Expect(v, d).value(); err != nil || got != want {
		t.Fatalf("%s: %#v gives %#x, %v; the table says %#x", a.GOARCH, d, got, err, want)
	}
}

// TestDangerousCallsAreRefused states the point of the table without its help.
func TestDangerousCallsAreRefused(t *testing.T) {
	a := Archs[0]
	p, err := Compile(a, Variant{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		nr   uint32
		args [6]uint64
		want uint32
	}{
		{"read", a.Calls["read"], [6]uint64{}, retAllow},
		{"fork by clone", a.Calls["clone"], [6]uint64{0x01200011}, retAllow},
		{"a thread by clone", a.Calls["clone"], [6]uint64{0x3d0f00}, retAllow},
		{"clone with CLONE_NEWUSER", a.Calls["clone"], [6]uint64{unix.CLONE_NEWUSER}, retNotif},
		{"unshare(CLONE_NEWNET)", a.Calls["unshare"], [6]uint64{unix.CLONE_NEWNET}, retNotif},
		{"unshare(CLONE_FS)", a.Calls["unshare"], [6]uint64{unix.CLONE_FS}, retAllow},
		{"clone3", 435, [6]uint64{}, retErrno | enosys},
		{"a call from the future", 600, [6]uint64{}, retErrno | enosys},
		{"AF_ALG", a.Calls["socket"], [6]uint64{unix.AF_ALG, 5}, retNotif},
		{"AF_VSOCK", a.Calls["socket"], [6]uint64{unix.AF_VSOCK, 1}, retNotif},
		{"AF_UNIX with high bits", a.Calls["socket"], [6]uint64{1<<32 | unix.AF_UNIX}, retAllow},
		{"NETLINK_ROUTE", a.Calls["socket"], [6]uint64{unix.AF_NETLINK, 3, 0}, retAllow},
		{"NETLINK_NETFILTER", a.Calls["socket"], [6]uint64{unix.AF_NETLINK, 3, 12}, retNotif},
		{"NETLINK_KOBJECT_UEVENT", a.Calls["socket"], [6]uint64{unix.AF_NETLINK, 3, 15}, retErrno | eafnosupport},
		{"TIOCSTI", a.Calls["ioctl"], [6]uint64{0, 0x5412}, retNotif},
		{"TIOCSTI with bit 32", a.Calls["ioctl"], [6]uint64{0, 1<<32 | 0x5412}, retNotif},
		{"TCGETS", a.Calls["ioctl"], [6]uint64{0, 0x5401}, retAllow},
		{"bpf", a.Calls["bpf"], [6]uint64{}, retNotif},
		{"io_uring_setup", a.Calls["io_uring_setup"], [6]uint64{}, retErrno | enosys},
		{"ptrace", a.Calls["ptrace"], [6]uint64{}, retAllow},
		{"x32 read", x32Bit, [6]uint64{}, retKill},
	} {
		if got, _, err := Interpret(p, Data{Arch: a.Audit, Nr: c.nr, Args: c.args}); err != nil || got != c.want {
			t.Errorf("%s: %#x, %v; want %#x", c.what, got, err, c.want)
		}
	}
	if got, _, _ := Interpret(p, Data{Arch: auditI386, Nr: 20}); got != retKill {
		t.Errorf("getpid by int 0x80: %#x, want the process killed", got)
	}
}

func TestSetIDFilesAreRefused(t *testing.T) {
	for _, a := range Archs {
		p, err := Compile(a, Variant{NoSetID: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			call string
			args [6]uint64
			want uint32
		}{
			{"fchmod", [6]uint64{3, 0o4755}, retErrno | eperm},
			{"fchmod", [6]uint64{3, 0o755}, retAllow},
			{"fchmod", [6]uint64{3, 0o1777}, retAllow},
			{"fchmodat", [6]uint64{3, 0, 0o2755}, retErrno | eperm},
			{"fchmodat2", [6]uint64{3, 0, 0o6755}, retErrno | eperm},
			{"openat", [6]uint64{3, 0, unix.O_CREAT | unix.O_WRONLY, 0o4755}, retErrno | eperm},
			{"openat", [6]uint64{3, 0, unix.O_TMPFILE | unix.O_RDWR, 0o4755}, retErrno | eperm},
			{"openat", [6]uint64{3, 0, unix.O_CREAT | unix.O_WRONLY, 0o644}, retAllow},
			{"openat", [6]uint64{3, 0, unix.O_RDONLY, 0xffffffff}, retAllow},
			{"openat2", [6]uint64{}, retErrno | enosys},
			{"mknodat", [6]uint64{3, 0, unix.S_IFREG | 0o4755}, retErrno | eperm},
			{"mkdirat", [6]uint64{3, 0, 0o2755}, retErrno | eperm},
			{"unshare", [6]uint64{unix.CLONE_NEWUSER}, retNotif},
		} {
			if got, _, err := Interpret(p, Data{Arch: a.Audit, Nr: a.Calls[c.call], Args: c.args}); err != nil || got != c.want {
				t.Errorf("%s: %s%#o: %#x, %v; want %#x", a.GOARCH, c.call, c.args, got, err, c.want)
			}
		}
	}
}

// TestShape checks what the kernel checks, and that the common path is short.
func TestShape(t *testing.T) {
	for _, a := range Archs {
		p, err := Compile(a, Variant{})
		if err != nil {
			t.Fatal(err)
		}
		for pc, in := range p {
			far := 0
			switch in.Code & 7 {
			case unix.BPF_JMP:
				if far = int(max(in.Jt, in.Jf)); in.Code == unix.BPF_JMP|unix.BPF_JA {
					far = int(in.K)
				}
			case unix.BPF_RET:
				continue
			}
			if pc+1+far >= len(p) {
				t.Errorf("%s: instruction %d can leave the program", a.GOARCH, pc)
			}
		}
		_, steps, err := Interpret(p, Data{Arch: a.Audit, Nr: a.Calls["read"]})
		if err != nil || steps > 20 {
			t.Errorf("%s: read takes %d instructions, %v", a.GOARCH, steps, err)
		}
		t.Logf("%s: %d instructions, read takes %d", a.GOARCH, len(p), steps)
	}
}

func TestGeneratedFilesAreFresh(t *testing.T) {
	for _, a := range Archs {
		want, err := Source(a)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", "zfilter_"+a.GOARCH+".go"))
		if err != nil || string(got) != string(want) {
			t.Errorf("zfilter_%s.go is not what the table compiles to (%v): run go generate ./internal/linux/seccomp", a.GOARCH, err)
		}
	}
}

// Every name in the table must be a system call somewhere: a misspelt one would be
// allowed without a word.
func TestNamesExist(t *testing.T) {
	names := append([]string{}, alarms...)
	for n := range quiets {
		names = append(names, n)
	}
	for n := range rules {
		names = append(names, n)
	}
	for _, n := range names {
		_, amd := callsAMD64[n]
		_, arm := callsARM64[n]
		if !amd && !arm {
			t.Errorf("%s is a system call of no architecture", n)
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add(uint32(0xC000003E), uint32(16), uint64(0), uint64(0x5412), uint64(0))
	var programs [][]unix.SockFilter
	for _, a := range Archs {
		p, err := Compile(a, Variant{})
		if err != nil {
			f.Fatal(err)
		}
		programs = append(programs, p)
	}
	f.Fuzz(func(t *testing.T, arch, nr uint32, a0, a1, a2 uint64) {
		for i, a := range Archs {
			testCell(t, a, Variant{}, programs[i], Data{Arch: arch, Nr: nr, Args: [6]uint64{a0, a1, a2}})
		}
	})
}
