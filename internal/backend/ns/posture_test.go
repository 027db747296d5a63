package ns

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/testenv"
)

// TestPostureMissesNothing leaves out each protective layer in turn: the look from
// outside must notice.
func TestPostureMissesNothing(t *testing.T) {
	testenv.Require(t, "userns", "overlay")
	for layer, notice := range map[string]string{
		"": "", "rootfs": "/ can be written to", "ro": "can be written to", "pidns": "pid namespace", "ipcns": "ipc namespace",
		"netns": "net namespace", "nosuid": "NoNewPrivs", "caps": "Cap", "seccomp": "Seccomp", "dev": "is not in the plan", "nodump": "dumpable", "pids": "limit",
	} {
		t.Run("without "+layer, func(t *testing.T) {
			dir := testenv.Dir(t)
			cfg := Config{RuntimeDir: dir, StateDir: dir, Guest: testenv.Build(t, "cmd/ringwall-guest", "ringwall_weak")}
			if layer != "" {
				cfg.Omit = []string{layer}
			}
			c := &creation{backend: New(cfg).(*backend), spec: sandbox.Spec{ID: sandbox.NewID(), Dir: dir, Limits: sandbox.Limits{}.OrDefault(1 << 30),
				User: sandbox.User{Name: "user", Home: "/home/user"}, Mounts: []sandbox.Mount{{Source: filepath.Dir(dir), Mode: sandbox.MountReadOnly}}}}
			defer func() { c.closeSources(); c.undo() }()
			for _, step := range []func() error{
				func() error { return c.identify(t.Context()) }, func() error { return c.spawn(t.Context()) },
				func() error { return c.openSources(t.Context()) }, func() error { return c.handOver(t.Context()) },
			} {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			// The plan of a whole sandbox is what it is held against.
			whole, _ := plan(realHost{}, c.spec, nil, c.id, nil)
			p, err := newPosture(c.id, whole)
			if err != nil {
				t.Fatal(err)
			}
			err = p.check(c.pid)
			if err == nil {
				if err = c.client.Seal(t.Context()); err == nil {
					err = checkSealed(c.pid, c.id)
				}
			}
			if layer == "" && err != nil {
				t.Fatal(err)
			}
			if err := c.makeGroup(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.checkGroup(); c.group != nil && !errors.Is(err, errPosture) { // it was made too late
				t.Errorf("outside of its control group: %v", err)
			}
			if layer != "" && (!errors.Is(err, errPosture) || !strings.Contains(err.Error(), notice)) {
				t.Errorf("%v, want it to notice %q", err, notice)
			}
		})
	}
}
