package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var (
	buildMu sync.Mutex
	built   = map[string]string{}
)

// Build builds a package of this module as a static program, once for each process
// and set of tags, and returns its path, which every uid may execute.
//
// Programs that were built beforehand are taken from the directory that
// RINGWALL_TEST_PROGRAMS names, as NAME or NAME-TAG: the suite then needs no Go.
func Build(tb testing.TB, pkg string, tags ...string) string {
	tb.Helper()
	buildMu.Lock()
	defer buildMu.Unlock()
	name := strings.Join(append([]string{filepath.Base(pkg)}, tags...), "-")
	if path, ok := built[name]; ok {
		return path
	}
	if dir := os.Getenv("RINGWALL_TEST_PROGRAMS"); dir != "" {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			tb.Fatalf("RINGWALL_TEST_PROGRAMS: %v", err)
		}
		return path
	}
	dir, err := os.MkdirTemp("", "ringwall-programs-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", strings.Join(tags, ","), "-o", path, "github.com/ringwall/ringwall/"+pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		tb.Fatal(err)
	}
	built[name] = path
	return path
}

// Remove removes what Build built; a TestMain calls it last.
func Remove() {
	buildMu.Lock()
	defer buildMu.Unlock()
	for _, path := range built {
		os.RemoveAll(filepath.Dir(path))
	}
	clear(built)
}
