package ns

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/internal/guest"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// hostname is what uname(2) says inside.
const hostname = "ringwall"

// systemDirs are shown read-only where the host has them. Symbolic links among them
// (bin → usr/bin) are made again.
var systemDirs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store"}

// etcEntries are the parts of the host's /etc that programs need and that hold no
// secret. What is not listed does not exist inside.
//
// Each costs a mount, so what programs do without is left out.
var etcEntries = []string{
	"alternatives", "chromium.d", "crypto-policies", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
	"mime.types", "os-release", "pki/ca-trust/extracted", "pki/tls/certs", "protocols", "python3", "services",
	"ssl/certs", "ssl/openssl.cnf",
}

// etcPrefixes add entries whose names carry a version.
var etcPrefixes = []string{"java-", "python3.", "maven"}

// devices are the only device nodes inside, besides the pseudo-terminals'.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// procReadOnly and procMasked cover what a proc file system shows of the kernel as a
// whole. Its permissions protect nearly all of it from a program without
// capabilities; this is for what they leave.
var (
	procReadOnly = []string{"bus", "fs", "irq", "sys", "sysrq-trigger"}
	procMasked   = []string{"acpi", "asound", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats"}
)

// hostView is what plan asks of the host's file system.
type hostView interface {
	Lstat(path string) (os.FileInfo, error)
	Readlink(path string) (string, error)
	ReadDir(path string) ([]os.DirEntry, error)
}

type realHost struct{}

func (realHost) Lstat(p string) (os.FileInfo, error)     { return os.Lstat(p) }
func (realHost) Readlink(p string) (string, error)       { return os.Readlink(p) }
func (realHost) ReadDir(p string) ([]os.DirEntry, error) { return os.ReadDir(p) }

// planner collects the Setup of one sandbox.
type planner struct {
	host   hostView
	setup  guest.Setup
	own    []string // sources to be opened by us, with our rights: their paths, in order
	follow bool     // the control that follows links
	remap  bool     // open project, layers and mounts ourselves, to id-map them
}

// plan says how to build the sandbox of s, from nothing: what is forgotten here is
// missing inside, never exposed. own lists the sources that we open and attach.
func plan(h hostView, s sandbox.Spec, hide []string, id identity, omit []string) (setup guest.Setup, own []string) {
	p := &planner{host: h, remap: id.mapped, follow: slices.Contains(omit, "links")}
	p.setup = guest.Setup{Version: guest.Version, UID: id.uids.inside, GID: id.gids.inside, Range: id.ranged, UserNS: s.AllowUserNS, PIDs: s.Limits.PIDs, Hostname: hostname, Omit: omit}
	if s.Root != "" {
		p.foreignRoot(s, id)
	} else {
		for _, d := range systemDirs {
			p.show(d)
		}
		p.etc(s.User, id)
	}
	p.dev(slices.Contains(omit, "dev"))
	p.op(guest.Op{Kind: guest.OpDir, Target: "/run", Mode: 0o755})
	p.scratch("/tmp", 0o1777, false)
	p.scratch("/var/tmp", 0o1777, false)
	if p.isDir("/sys/devices/system") {
		// Processor and memory topology, which runtimes size themselves by.
		p.bind("/sys/devices/system", false)
	}
	p.home(s.User)
	p.project(s)
	for _, path := range hide {
		p.op(guest.Op{Kind: guest.OpMask, Target: path})
	}
	p.proc(slices.Contains(omit, "pidns"))
	return p.setup, p.own
}

func (p *planner) op(o guest.Op) { p.setup.Ops = append(p.setup.Ops, o) }

// source adds a host path and returns its index. Sources of the caller are opened
// by us where they are to be id-mapped, the system's always by the guest: under its
// own uid, to which only what everybody may read is readable.
func (p *planner) source(path string, recursive, callers bool) int {
	// A caller's path was free of links when it was checked. Another sandbox that may
	// write there could swap it for one since (CVE-2021-30465 is the pattern).
	src := guest.Source{Path: path, Recursive: recursive, NoLinks: callers && !p.follow}
	if callers && p.remap {
		src.Path = ""
		p.own = append(p.own, path)
	}
	p.setup.Sources = append(p.setup.Sources, src)
	return len(p.setup.Sources) - 1
}

func (p *planner) bind(path string, callers bool) {
	p.op(guest.Op{Kind: guest.OpBind, Target: path, Source: p.source(path, true, callers), ReadOnly: true})
}

// show makes a system path appear inside as it is outside, read-only, if it exists.
func (p *planner) show(path string) {
	info, err := p.host.Lstat(path)
	if err != nil {
		return
	}
	switch {
	case info.Mode()&os.ModeSymlink != 0:
		if link, err := p.host.Readlink(path); err == nil {
			p.op(guest.Op{Kind: guest.OpSymlink, Target: path, Data: link})
		}
	case info.IsDir() || info.Mode().IsRegular():
		p.bind(path, false)
	}
}

func (p *planner) isDir(path string) bool {
	info, err := p.host.Lstat(path)
	return err == nil && info.IsDir()
}

func (p *planner) etc(u sandbox.User, id identity) {
	for _, name := range etcEntries {
		p.show("/etc/" + name)
	}
	entries, _ := p.host.ReadDir("/etc") // unreadable: then nothing below it is shown either
	for _, e := range entries {
		for _, prefix := range etcPrefixes {
			if strings.HasPrefix(e.Name(), prefix) && !slices.Contains(etcEntries, e.Name()) {
				p.show("/etc/" + e.Name())
			}
		}
	}
	p.etcFiles(u, id)
}

// etcFiles adds the files of /etc that are made for the sandbox.
func (p *planner) etcFiles(u sandbox.User, id identity) {
	for _, f := range synthesised(u, id) {
		p.op(guest.Op{Kind: guest.OpFile, Target: "/etc/" + f[0], Mode: 0o444, Data: f[1]})
	}
	p.op(guest.Op{Kind: guest.OpSymlink, Target: "/etc/mtab", Data: "/proc/self/mounts"})
}

func (p *planner) dev(whole bool) {
	if whole { // the control: every device of the host
		p.op(guest.Op{Kind: guest.OpBind, Target: "/dev", Source: p.source("/dev", true, false), Device: true})
		return
	}
	p.op(guest.Op{Kind: guest.OpDir, Target: "/dev", Mode: 0o755})
	for _, name := range devices {
		path := "/dev/" + name
		p.op(guest.Op{Kind: guest.OpBind, Target: path, Source: p.source(path, false, false), Device: true, ReadOnly: true})
	}
	p.op(guest.Op{Kind: guest.OpDevpts, Target: "/dev/pts"})
	p.scratch("/dev/shm", 0o1777, false)
	for _, link := range [][2]string{{"ptmx", "pts/ptmx"}, {"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"},
		{"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}} {
		p.op(guest.Op{Kind: guest.OpSymlink, Target: "/dev/" + link[0], Data: link[1]})
	}
}

// proc comes last: its sources, in the control without PID namespace, are found by
// their place.
func (p *planner) proc(hosts bool) {
	if hosts {
		p.source("/proc", true, false)
	}
	p.op(guest.Op{Kind: guest.OpProc, Target: "/proc"})
	if hosts {
		return // mounts below the host's own, as binfmt_misc's, let nothing be covered there
	}
	for _, name := range procReadOnly {
		p.op(guest.Op{Kind: guest.OpReadOnly, Target: "/proc/" + name})
	}
	for _, name := range procMasked {
		p.op(guest.Op{Kind: guest.OpMask, Target: "/proc/" + name})
	}
}

func (p *planner) scratch(path string, mode int, own bool) {
	p.op(guest.Op{Kind: guest.OpScratch, Target: path, Mode: mode, Own: own})
}

func (p *planner) home(u sandbox.User) {
	p.scratch(u.Home, 0o700, true)
	p.op(guest.Op{Kind: guest.OpFile, Target: filepath.Join(u.Home, ".gitconfig"), Mode: 0o644, Data: gitconfig(u), Own: true})
}

// project adds the project and the caller's mounts, outer directories first, so that
// none hides another.
func (p *planner) project(s sandbox.Spec) {
	type shown struct {
		path string
		add  func()
	}
	var all []shown
	layers := -1
	overlay := func(path, prefix string) {
		if layers < 0 {
			layers = p.source(s.Layers, false, true)
		}
		p.op(guest.Op{Kind: guest.OpOverlay, Target: path, Source: p.source(path, false, true), Layers: layers, Data: prefix})
	}
	if s.Project != "" {
		all = append(all, shown{s.Project, func() { overlay(s.Project, "") }})
	}
	for i, m := range s.Mounts {
		add := func() { p.bind(m.Source, true) }
		switch m.Mode {
		case sandbox.MountThrowAway:
			add = func() { overlay(m.Source, sandbox.LayerShare+strconv.Itoa(i)) }
		case sandbox.MountReadWrite:
			p.setup.NoSetID = true
			add = func() {
				p.op(guest.Op{Kind: guest.OpBind, Target: m.Source, Source: p.source(m.Source, false, true)})
			}
		}
		all = append(all, shown{m.Source, add})
	}
	slices.SortStableFunc(all, func(a, b shown) int { return len(a.path) - len(b.path) })
	for i, a := range all {
		var outer []string
		for _, o := range all[:i] {
			outer = append(outer, o.path)
		}
		p.ownParents(s.User.Home, a.path, outer)
		a.add()
	}
}

// ownParents makes the directories between the home and something shown below it,
// the program's own: ~/.cache must be writable also when ~/.cache/go-build is shared.
// What lies in something shown is not ours to make.
func (p *planner) ownParents(home, path string, shown []string) {
	within := func(dir string) bool {
		return slices.ContainsFunc(shown, func(s string) bool { return dir == s || strings.HasPrefix(dir, s+"/") })
	}
	rest, below := strings.CutPrefix(path, home+"/")
	if !below {
		return
	}
	dir := home
	parts := strings.Split(rest, "/")
	for _, part := range parts[:len(parts)-1] {
		if dir += "/" + part; !within(dir) {
			p.op(guest.Op{Kind: guest.OpDir, Target: dir, Mode: 0o755, Own: true})
		}
	}
}
