package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/testenv"
)

// TestKilledAnywhere kills ringwall at random moments of its life. One gc later
// nothing is left but workspaces with changes.
func TestKilledAnywhere(t *testing.T) {
	home := newTestHome(t)
	dir := home.dir
	ringwall := func(args ...string) *exec.Cmd { return home.command(nil, "ringwall", args...) }
	began := time.Now()
	if out, err := ringwall("run", "--", "true").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	life := time.Since(began)
	testenv.Leaks(t)
	const kills = 40
	word := "killed-anywhere-" + filepath.Base(dir)
	for range kills {
		cmd := ringwall("run", "--", "sh", "-c", "echo x > made; sleep 30; : "+word)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(life) * 3 / 2)))
		cmd.Process.Kill()
		cmd.Wait()
	}
	if out, err := ringwall("gc").CombinedOutput(); err != nil {
		t.Fatalf("gc: %v: %s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "run", "sandboxes", "*")); len(left) > 0 {
		t.Errorf("left behind after gc: %v", left)
	}
	out, err := ringwall("workspaces", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all api.Workspaces
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatal(err)
	}
	for _, w := range all.Workspaces {
		if w.State != "kept" || w.Added != 1 || w.Modified+w.Deleted != 0 {
			t.Errorf("workspace %+v, want it kept with one file added", w)
		}
	}
	onDisk, err := os.ReadDir(filepath.Join(dir, "state", "workspaces"))
	if err != nil || len(onDisk) != len(all.Workspaces) {
		t.Errorf("%d directories for %d workspaces, %v", len(onDisk), len(all.Workspaces), err)
	}
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		if line, err := os.ReadFile(path); err == nil && strings.Contains(string(line), word) {
			t.Errorf("%s still runs: %q", path, line)
		}
	}
	t.Logf("%d of %d were killed after the program had written", len(all.Workspaces), kills)
}
