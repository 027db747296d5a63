package ns

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/ringwall/ringwall/internal/linux/landlock"
	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/testenv"
)

// TestLandlockAlone leaves out a layer that Landlock covers too, with and without it: it
// must hold alone, and the attack must succeed where neither is there.
func TestLandlockAlone(t *testing.T) {
	testenv.Require(t, "userns", "overlay")
	abi := landlock.ABI()
	for _, c := range []struct {
		layer string
		abi   int // from which Landlock covers it
		// Root's sandbox has ids of its own and signals nobody; a user owns no directory
		// but such as are writable inside too.
		caller []string
		args   func(t *testing.T, dir string) []string
	}{
		{"ro", 2, []string{"root"}, func(t *testing.T, dir string) []string {
			return []string{"write", filepath.Join(dir, "given", "file"), "x"}
		}},
		{"pidns", 6, []string{"user"}, func(t *testing.T, _ string) []string { return []string{"signal-other", pidText()} }},
		{"netns", 6, nil, func(t *testing.T, _ string) []string { return []string{"dial-abstract", listenAbstract(t)} }},
	} {
		t.Run(c.layer, func(t *testing.T) {
			if abi < c.abi {
				testenv.Missing(t, "landlock", "Landlock of this kernel does not cover it")
			}
			testenv.Require(t, c.caller...)
			for _, alone := range []bool{false, true} {
				omit := []string{c.layer}
				if alone {
					omit = append(omit, "all-but-landlock")
				}
				dir := testenv.Dir(t)
				// Rules allow and never forbid: below /tmp, which is writable inside, Landlock
				// has nothing to say.
				shown := dir
				if c.layer == "ro" {
					var err error
					if shown, err = os.MkdirTemp("/srv", "ringwall-test-"); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { os.RemoveAll(shown) })
					if err := os.Chmod(shown, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Mkdir(filepath.Join(shown, "given"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(shown, "given", "file"), nil, 0o666); err != nil {
					t.Fatal(err)
				}
				code := testProbe(t, Config{RuntimeDir: dir, StateDir: dir, Omit: omit, Guest: testenv.Build(t, "cmd/ringwall-guest", "ringwall_weak")},
					sandbox.Spec{Dir: dir, Mounts: []sandbox.Mount{{Source: filepath.Join(shown, "given"), Mode: sandbox.MountReadOnly}}}, c.args(t, shown))
				if succeeded := code == 0; succeeded == alone {
					t.Errorf("with Landlock alone: %v; the attack ended with status %d", alone, code)
				}
			}
		})
	}
}

// testProbe runs the probe in a sandbox of its own and returns its exit status.
func testProbe(t *testing.T, cfg Config, s sandbox.Spec, args []string) int {
	t.Helper()
	probe := testenv.Build(t, "internal/sandbox/conformance/probe")
	s.ID, s.User = sandbox.NewID(), sandbox.User{UID: os.Geteuid(), GID: os.Getegid(), Name: "user", Home: "/home/user"}
	s.Mounts = append(s.Mounts, sandbox.Mount{Source: probe, Mode: sandbox.MountReadOnly})
	box, err := New(cfg).Create(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Destroy(context.Background())
	p, err := box.Start(t.Context(), sandbox.Cmd{Args: append([]string{probe}, args...), Dir: "/"})
	if err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait(t.Context())
	if err != nil || exit.Reason != sandbox.ReasonExited {
		t.Fatalf("%+v, %v", exit, err)
	}
	return exit.Code
}

// pidText is our own process, which a program may only ask about with signal 0.
func pidText() string { return strconv.Itoa(os.Getpid()) }

// listenAbstract listens on an abstract socket for as long as the test runs.
func listenAbstract(t *testing.T) string {
	t.Helper()
	name := "@ringwall-landlock-" + sandbox.NewID()
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return name
}
