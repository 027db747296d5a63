package ns

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall/internal/guest"
	"github.com/ringwall/ringwall/internal/sandbox"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

// fakeHost is a host's file system in memory. A file whose mode is a symbolic link
// has its target as content.
type fakeHost struct{ fstest.MapFS }

func (h fakeHost) Lstat(p string) (os.FileInfo, error) {
	f, ok := h.MapFS[strings.TrimPrefix(p, "/")]
	if ok && f.Mode&fs.ModeSymlink != 0 {
		return linkInfo{f.Mode}, nil
	}
	return h.MapFS.Stat(strings.TrimPrefix(p, "/"))
}

func (h fakeHost) Readlink(p string) (string, error) {
	return string(h.MapFS[strings.TrimPrefix(p, "/")].Data), nil
}

func (h fakeHost) ReadDir(p string) ([]os.DirEntry, error) {
	return h.MapFS.ReadDir(strings.TrimPrefix(p, "/"))
}

type linkInfo struct{ mode fs.FileMode }

func (l linkInfo) Name() string       { return "" }
func (l linkInfo) Size() int64        { return 0 }
func (l linkInfo) Mode() fs.FileMode  { return l.mode }
func (l linkInfo) IsDir() bool        { return false }
func (l linkInfo) ModTime() time.Time { return time.Time{} }
func (l linkInfo) Sys() any           { return nil }

// TestPlan compares what is shown, and how, with golden files: a change in them is a
// change in what programs can see.
func TestPlan(t *testing.T) {
	host := fakeHost{fstest.MapFS{
		"usr/bin/sh":                   {Mode: 0o755},
		"bin":                          {Mode: fs.ModeSymlink | 0o777, Data: []byte("usr/bin")},
		"lib/x":                        {},
		"opt/tool/x":                   {},
		"etc/passwd":                   {Data: []byte("root:x:0:0:the host's own")},
		"etc/shadow":                   {},
		"etc/ssh/ssh_host_key":         {},
		"etc/ssl/certs/ca.pem":         {},
		"etc/ssl/private/key":          {},
		"etc/localtime":                {Mode: fs.ModeSymlink | 0o777, Data: []byte("/usr/share/zoneinfo/UTC")},
		"etc/java-17-openjdk/x":        {},
		"etc/python3.11/x":             {},
		"root/.ssh/id":                 {},
		"var/lib/secret":               {},
		"sys/devices/system/cpu/x":     {},
		"sys/kernel/debug/x":           {},
		"home/ann/src/app/main.go":     {},
		"home/ann/.cache/go-build/x":   {},
		"home/ann/src/app/vendor/x.go": {},
	}}
	spec := sandbox.Spec{ID: "aaaabbbbcccc", Project: "/home/ann/src/app", Layers: "/state/w",
		User: sandbox.User{UID: 1000, GID: 100, Name: "ann", Home: "/home/ann", GitName: "Ann"},
		Mounts: []sandbox.Mount{{Source: "/home/ann/src/app/vendor", Mode: sandbox.MountReadOnly},
			{Source: "/home/ann/.cache/go-build", Mode: sandbox.MountThrowAway}}}
	for name, id := range map[string]identity{
		"user": identify(spec.User, sandbox.User{UID: 1000, GID: 100}, nil, 0),
		"root": identify(sandbox.User{}, sandbox.User{}, nil, firstBase),
	} {
		setup, own := plan(host, spec, []string{"/src/app/.env"}, id, nil)
		got := describe(setup, own)
		file := filepath.Join("testdata", "plan-"+name+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s changed; if that is meant: go test ./internal/backend/ns -run Plan -update\n-want +got:\n%s", file, d)
		}
		for _, secret := range []string{"/etc/shadow", "ssh_host_key", "private", ".ssh", "/var/lib", "the host's own", "/sys/kernel"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s: the plan shows %q", name, secret)
			}
		}
	}
}

var opNames = map[guest.OpKind]string{guest.OpDir: "dir", guest.OpFile: "file", guest.OpSymlink: "symlink", guest.OpBind: "bind",
	guest.OpScratch: "scratch", guest.OpOverlay: "overlay", guest.OpProc: "proc", guest.OpDevpts: "devpts",
	guest.OpReadOnly: "read-only", guest.OpMask: "mask"}

// describe writes a plan with a line for each operation.
func describe(s guest.Setup, own []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "uid %d gid %d range %v hostname %s\n", s.UID, s.GID, s.Range, s.Hostname)
	source := make([]string, len(s.Sources))
	for i, src := range s.Sources {
		source[i] = "guest opens " + src.Path
		if src.Path == "" {
			source[i], own = "host opens and maps "+own[0], own[1:]
		}
		if src.Recursive {
			source[i] += " with mounts below"
		}
	}
	for _, o := range s.Ops {
		fmt.Fprintf(&b, "%s %s", opNames[o.Kind], o.Target)
		switch o.Kind {
		case guest.OpBind:
			fmt.Fprintf(&b, ": %s, read-only %v, device %v", source[o.Source], o.ReadOnly, o.Device)
		case guest.OpOverlay:
			fmt.Fprintf(&b, ": %s, changes: %s, %q", source[o.Source], source[o.Layers], o.Data)
		case guest.OpDir, guest.OpScratch:
			fmt.Fprintf(&b, ": mode %o, program's %v", o.Mode, o.Own)
		case guest.OpFile:
			fmt.Fprintf(&b, ": mode %o, program's %v, %q", o.Mode, o.Own, o.Data)
		case guest.OpSymlink:
			fmt.Fprintf(&b, " to %s", o.Data)
		}
		b.WriteString("\n")
	}
	return b.String()
}
