// Package conformance is the suite that every backend passes: what a sandbox has to
// do, and attacks on every guarantee that the backend declares. A backend's own test
// calls Run and is about twenty lines.
package conformance

import (
	"context"
	"os"
	"slices"
	"testing"

	"github.com/ringwall/ringwall/internal/backend/host"
	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/testenv"
)

// Target is a backend under test.
type Target struct {
	Name string
	Mode string // who started it: root, user

	// New returns the backend, with protective layers left out if omit names some:
	// that is how attacks show that they would succeed. nil: it cannot leave any out.
	New func(tb testing.TB, omit ...string) sandbox.Backend

	// Weaken says whether New takes omit.
	Weaken bool

	// RuntimeDir is where New's backends find the records of live sandboxes.
	RuntimeDir string

	// Project says whether a sandbox works on a copy of the project.
	Project bool
}

// testCase is one named test of a sandbox.
type testCase struct {
	name string
	run  func(f *fixture)
}

// Run runs the suite on t.
func Run(t *testing.T, target Target) {
	report, err := target.New(t).Detect(context.Background())
	if err != nil {
		t.Fatalf("Detect: %v", err)
	}
	if !report.Ready {
		why := "not ready"
		for _, c := range report.Checks {
			if c.Status == sandbox.StatusMissing {
				why = c.Detail
			}
		}
		testenv.Missing(t, target.Name, why)
	}
	result := testenv.Result{Backend: target.Name, Mode: target.Mode}
	count := func(t *testing.T) {
		switch {
		case t.Failed():
			result.Failed++
		case t.Skipped():
			result.Skipped++
		default:
			result.Passed++
		}
	}
	defer func() { testenv.Record(t, result) }()
	for _, group := range [][]testCase{identityCases, execCases, streamCases, stdioCases, lifeCases} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				defer count(t)
				c.run(newFixture(t, target, target.New(t)))
			})
		}
	}
	if target.Name != host.Name {
		for _, c := range hostileCases {
			t.Run("hostile/"+c.name, func(t *testing.T) {
				defer count(t)
				c.run(newFixture(t, target, target.New(t)))
			})
		}
	}
	if target.Project {
		for _, c := range projectCases {
			t.Run(c.name, func(t *testing.T) {
				defer count(t)
				c.run(newFixture(t, target, target.New(t)))
			})
		}
	}
	if slices.Contains(target.New(t).Info().Features, sandbox.FeatureReattach) {
		for _, c := range sessionCases {
			t.Run("session/"+c.name, func(t *testing.T) {
				defer count(t)
				c.run(newSession(t, target))
			})
		}
	}
	for _, a := range attacks {
		t.Run("attack/"+string(a.guarantee)+"/"+a.name, func(t *testing.T) {
			defer count(t)
			a.carryOut(t, target, report.Has(a.guarantee))
		})
	}
	t.Run("every declared guarantee is attacked in two ways", func(t *testing.T) {
		defer count(t)
		attacked := map[sandbox.Guarantee]int{}
		for _, a := range attacks {
			attacked[a.guarantee]++
		}
		for _, g := range report.Guarantees {
			if attacked[g] < 2 {
				t.Errorf("%s is declared and attacked in %d ways", g, attacked[g])
			}
		}
	})
	t.Run("features are declared and there", func(t *testing.T) {
		defer count(t)
		newFixture(t, target, target.New(t)).features()
	})
}

// features compares what is declared with what is implemented.
func (f *fixture) features() {
	_, lists := sandbox.As[sandbox.DenialLister](f.sandbox())
	_, counts := sandbox.As[sandbox.Statser](f.sandbox())
	_, lets := sandbox.As[sandbox.Detacher](f.sandbox())
	f.want("a sandbox that ends with us lets go", lets, false)
	for _, feature := range []struct {
		name sandbox.Feature
		is   bool
	}{{sandbox.FeatureDenials, lists}, {sandbox.FeatureStats, counts}} {
		f.want(string(feature.name)+" implemented", feature.is, slices.Contains(f.backend.Info().Features, feature.name))
	}
}

// Mode says who runs the tests, or what RINGWALL_TEST_MODE says.
func Mode() string {
	if mode := os.Getenv("RINGWALL_TEST_MODE"); mode != "" {
		return mode
	}
	if os.Geteuid() == 0 {
		return "root"
	}
	return "user"
}
