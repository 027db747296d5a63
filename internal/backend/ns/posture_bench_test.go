package ns

import (
	"strconv"
	"testing"

	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/testenv"
)

// BenchmarkPosture times each part of the look from outside, on a finished sandbox.
func BenchmarkPosture(b *testing.B) {
	testenv.Require(b, "userns", "overlay")
	dir := testenv.Dir(b)
	cfg := Config{RuntimeDir: dir, StateDir: dir, Guest: testenv.Build(b, "cmd/ringwall-guest")}
	c := &creation{backend: New(cfg).(*backend), spec: sandbox.Spec{ID: sandbox.NewID(), Dir: dir, User: sandbox.User{Name: "user", Home: "/home/user"}}}
	defer func() { c.closeSources(); c.undo() }()
	for _, step := range []func() error{
		func() error { return c.identify(b.Context()) }, func() error { return c.spawn(b.Context()) },
		func() error { return c.openSources(b.Context()) }, func() error { return c.handOver(b.Context()) },
	} {
		if err := step(); err != nil {
			b.Fatal(err)
		}
	}
	proc := "/proc/" + strconv.Itoa(c.pid)
	fresh := func(check func(*posture) error) func() error {
		return func() error {
			p, err := newPosture(c.id, c.setup)
			if err != nil {
				return err
			}
			return check(p)
		}
	}
	for name, check := range map[string]func() error{
		"plan": fresh(func(*posture) error { return nil }), "status": func() error { return checkStatus(proc, c.id) },
		"namespaces": func() error { return c.posture.checkNamespaces(proc) }, "limits": func() error { return checkLimits(c.pid, c.setup) },
		"plan+mounts": fresh(func(p *posture) error { return p.checkMounts(proc) }), "descriptors": func() error { return checkDescriptors(proc) },
		"plan+all": fresh(func(p *posture) error { return p.check(c.pid) }),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := check(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
