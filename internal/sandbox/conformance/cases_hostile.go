package conformance

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// hostileCases check what sandboxes do against programs that mean harm where no safe
// control can be compared with. They do not run on the host itself.
var hostileCases = []testCase{
	{"kernel interfaces cannot be written", func(f *fixture) {
		for name, broken := range readVerdicts(f, []string{"attack-knobs"}) {
			f.want(name, broken, false)
		}
	}},
	{"denials are told", func(f *fixture) {
		lister, ok := sandbox.As[sandbox.DenialLister](f.sandbox())
		if !ok {
			f.Skip("this backend has no such feature")
		}
		f.want("before anything ran", len(lister.Denied()), 0)
		for range 3 {
			f.ok("attack-namespaces")
		}
		times := 0
		for _, d := range lister.Denied() {
			f.want("program", d.Program, filepath.Base(f.probe))
			f.want("hint", d.Hint, "--allow-userns")
			if strings.Contains(d.Detail, "CLONE_NEWNET") {
				times += d.Count
			}
		}
		f.want("CLONE_NEWNET", times, 3)
	}},
	{"a flood of refused calls", func(f *fixture) {
		lister, ok := sandbox.As[sandbox.DenialLister](f.sandbox())
		if !ok {
			f.Skip("this backend has no such feature")
		}
		f.ok("attack-flood", "500")
		list := lister.Denied()
		f.want("kinds", len(list) <= 32, true)
		sum := 0
		for _, d := range list {
			sum += d.Count
		}
		f.want("counted", sum, 500)
	}},
	{"user namespaces where they are allowed", func(f *fixture) {
		f.spec.AllowUserNS = true
		found := readVerdicts(f, []string{"attack-namespaces"})
		f.want("a network namespace is made", found["net"], true)
		for name, broken := range readVerdicts(f, []string{"attack-guest"}) {
			f.want(name, broken, false)
		}
	}},
	{"as another user", func(f *fixture) {
		f.spec.As = &sandbox.IDs{UID: 4711, GID: 815}
		f.want("ids", f.ok("ids"), "4711 815\n")
		f.ok("write", filepath.Join(f.project, "made"), "x")
	}},
	{"as root", func(f *fixture) {
		f.spec.As = &sandbox.IDs{}
		f.want("ids", f.ok("ids"), "0 0\n")
		for _, probe := range []string{"attack-caps", "attack-guest", "attack-getfd", "attack-knobs"} {
			for name, broken := range readVerdicts(f, []string{probe}) {
				// The guest's files belong to root: it may list descriptors, not follow one,
				// and make the guest, and with it itself, the first victim when memory runs out.
				f.want(name, broken && name != "fd" && name != "proc_1_oom_score_adj", false)
			}
		}
	}},
	{"written through", func(f *fixture) {
		path := f.write("given/file", "text")
		f.mount(sandbox.Mount{Source: filepath.Dir(path), Mode: sandbox.MountReadWrite})
		f.ok("write", path, "changed")
		f.ok("write", filepath.Join(filepath.Dir(path), "made"), "made")
		for name, want := range map[string]string{"given/file": "changed", "given/made": "made"} {
			b, err := os.ReadFile(filepath.Join(f.dir, name))
			if err != nil {
				f.Fatal(err)
			}
			f.want(name, string(b), want)
		}
		uid, _ := ownerOf(f, filepath.Join(f.dir, "given/made"))
		f.want("owner", uid, os.Geteuid())
	}},
	{"hidden files", func(f *fixture) {
		secret := f.write("project/.env", "TOKEN=x")
		f.write("project/keys/id_rsa", "key")
		gone := filepath.Join(f.project, "gone")
		f.spec.Hide = func() ([]string, error) { return []string{secret, filepath.Join(f.project, "keys"), gone}, nil }
		f.want("file", f.ok("read", secret), "")
		f.want("directory", f.ok("ls", filepath.Join(f.project, "keys")), "")
		f.want("remove", f.run(f.cmd("remove", secret)).exit.Code != 0, true)
		f.want("write", f.run(f.cmd("write", secret, "x")).exit.Code != 0, true)
	}},
}
