package conformance

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/ringwall/ringwall/internal/backend/host"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// attack is one way to break one guarantee. The same probe runs twice: in a real
// sandbox, where it must fail, and in a control, where it must succeed. A control
// that does not bite is a defect of the test: it would call anything safe.
type attack struct {
	guarantee sandbox.Guarantee
	name      string

	// omit is the protective layer that the control leaves out; "host" is the
	// backend without any, for harmless probes.
	omit string

	// prepare readies the fixture and returns the probe's arguments, or says why
	// there is nothing to attack on this host.
	prepare func(f *fixture) (args []string, missing string)

	// outside, in place of prepare, attacks or looks from the host's side.
	outside func(f *fixture) (verdicts map[string]bool, missing string)

	// optional names probes that not every kernel lets succeed in the control.
	optional []string
}

// controlHost is attack.omit for the host backend.
const controlHost = "host"

// carryOut runs the control and the attack.
func (a *attack) carryOut(t *testing.T, target Target, declared bool) {
	if target.Name == host.Name {
		t.Skip("nothing is declared on this rung: it is the control")
	}
	if a.omit != controlHost && !target.Weaken {
		t.Skip("not tested here: no safe control")
	}
	var control *fixture
	if a.omit == controlHost {
		control = newFixture(t, target, host.New(host.Config{RuntimeDir: os.TempDir()}))
	} else {
		control = newFixture(t, target, target.New(t, a.omit))
	}
	bitten, noControl := a.attempt(control)
	held, missing := a.attempt(newFixture(t, target, target.New(t)))
	for name, broken := range held {
		switch {
		case broken && declared:
			t.Errorf("%s: broken", name)
		case !declared:
			t.Logf("%s: not declared, broken: %v", name, broken)
		}
	}
	switch {
	case missing != "":
		t.Skip("not tested here: " + missing)
	case noControl != "" && !t.Failed():
		t.Skip("held, but not compared with a control: " + noControl)
	}
	any := false
	for name, broken := range bitten {
		any = any || broken
		if !broken && !a.isOptional(name) {
			t.Errorf("%s does not succeed in the control without %q: it proves nothing", name, a.omit)
		}
	}
	if !any {
		t.Error("nothing succeeds in the control")
	}
}

// attempt attacks f's sandbox. The verdicts are true for what was broken.
func (a *attack) attempt(f *fixture) (verdicts map[string]bool, missing string) {
	f.Helper()
	if a.outside != nil {
		return a.outside(f)
	}
	args, missing := a.prepare(f)
	if missing != "" {
		return nil, missing
	}
	return readVerdicts(f, args), ""
}

func (a *attack) isOptional(name string) bool {
	for _, o := range a.optional {
		if o == name || o == "*" {
			return true
		}
	}
	return false
}

// readVerdicts runs the probe and returns its verdicts by name: true for broken.
func readVerdicts(f *fixture, args []string) map[string]bool {
	f.Helper()
	found := map[string]bool{}
	out := f.ok(args...)
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "held" && fields[0] != "broken" {
			f.Fatalf("probe %q said %q", args, line)
		}
		found[fields[1]] = fields[0] == "broken"
		f.Logf("%s", line)
	}
	return found
}

func ownerOf(f *fixture, path string) (uid, gid int) {
	f.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		f.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return int(st.Uid), int(st.Gid)
}

// Mechanism names an attack for the documentation.
type Mechanism struct {
	Guarantee sandbox.Guarantee
	Name      string
	Control   string // the layer that the control leaves out, or "host"
}

// Mechanisms lists all attacks in the order in which they are carried out.
func Mechanisms() []Mechanism {
	var all []Mechanism
	for _, a := range attacks {
		all = append(all, Mechanism{a.guarantee, a.name, a.omit})
	}
	return all
}
