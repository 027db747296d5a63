package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ringwall/ringwall/internal/testenv"
)

// testHome is a home of its own below dir, with a project and Ringwall's directories.
type testHome struct{ dir, project string }

func newTestHome(t *testing.T) testHome {
	t.Helper()
	dir := testenv.Dir(t)
	h := testHome{dir, filepath.Join(dir, "project")}
	for _, d := range []string{h.project, filepath.Join(dir, "home")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { // what overlayfs left is closed even to its owner
		exec.Command("chmod", "-R", "u+rwx", dir).Run()
	})
	return h
}

// command runs a program in the project, with env besides.
func (h testHome) command(env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = h.project
	cmd.Env = append(append(os.Environ(), "HOME="+filepath.Join(h.dir, "home"), "RINGWALL_STATE_DIR="+filepath.Join(h.dir, "state"),
		"RINGWALL_RUNTIME_DIR="+filepath.Join(h.dir, "run")), env...)
	return cmd
}
