package host_test

import (
	"os"
	"testing"

	"github.com/ringwall/ringwall/internal/backend/host"
	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/sandbox/conformance"
	"github.com/ringwall/ringwall/internal/testenv"
)

func TestMain(m *testing.M) {
	status := m.Run()
	testenv.Remove()
	os.Exit(status)
}

func TestConformance(t *testing.T) {
	runtime := testenv.Dir(t)
	conformance.Run(t, conformance.Target{
		Name: host.Name, Mode: conformance.Mode(),
		New: func(testing.TB, ...string) sandbox.Backend { return host.New(host.Config{RuntimeDir: runtime}) },
	})
}
