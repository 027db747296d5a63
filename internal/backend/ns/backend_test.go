package ns_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/ringwall/ringwall/internal/backend/ns"
	"github.com/ringwall/ringwall/internal/keeper"
	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/sandbox/conformance"
	"github.com/ringwall/ringwall/internal/testenv"
)

func TestMain(m *testing.M) {
	if os.Args[0] == keeper.Arg0 {
		os.Exit(keeper.Main(func(_ string, config json.RawMessage) (sandbox.Backend, error) { return ns.Kept(config) }))
	}
	status := m.Run()
	testenv.Remove()
	os.Exit(status)
}

func TestConformance(t *testing.T) {
	state := testenv.Dir(t)
	conformance.Run(t, conformance.Target{
		Name: ns.Name, Mode: conformance.Mode(), Weaken: true, Project: true, RuntimeDir: state,
		New: func(tb testing.TB, omit ...string) sandbox.Backend {
			cfg := ns.Config{RuntimeDir: state, StateDir: state, Omit: omit, Guest: testenv.Build(tb, "cmd/ringwall-guest")}
			if len(omit) > 0 {
				cfg.Guest = testenv.Build(tb, "cmd/ringwall-guest", "ringwall_weak")
			}
			return ns.New(cfg)
		},
	})
}
