package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/backend/ns"
	"github.com/ringwall/ringwall/internal/engine"
	"github.com/ringwall/ringwall/internal/host"
	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/testenv"
)

// The variables that tell dier what to do.
const (
	dieAt     = "RINGWALL_TEST_DIE_AT"     // the step after which
	dieVictim = "RINGWALL_TEST_DIE_VICTIM" // ringwall, guest; or end, hang: what the guest does after its own step
	dieGuest  = "RINGWALL_TEST_DIE_GUEST"  // a guest that obeys end and hang
)

// dier is `ringwall run` that somebody kills right after a named step. It prints each
// step that it has finished.
func dier() {
	at, victim := os.Getenv(dieAt), os.Getenv(dieVictim)
	caller := host.Caller()
	dirs, err := host.FindDirs(caller)
	if err != nil {
		panic(err)
	}
	cfg := ns.Config{RuntimeDir: dirs.Runtime, StateDir: dirs.State}
	if victim == "end" || victim == "hang" {
		cfg.Guest, cfg.Omit = os.Getenv(dieGuest), []string{victim + ":" + at}
	}
	trace := func(s sandbox.Step) {
		fmt.Println(s.Where, s.Name)
		if s.Where != "host" || s.Name != at {
			return
		}
		switch victim {
		case "ringwall":
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case "guest":
			for _, pid := range children(os.Getpid()) {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	res, err := engine.New(caller, dirs, []sandbox.Backend{ns.New(cfg)}).Run(context.Background(),
		engine.Request{Backend: ns.Name, Args: os.Args[1:], Stdout: os.Stderr, Stderr: os.Stderr, Trace: trace})
	fmt.Fprintf(os.Stderr, "%+v %v\n", res.Exit, err)
}

// children returns the processes whose parent is pid.
func children(parent int) (pids []int) {
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// PID (NAME) STATE PPID …; the name can hold anything.
		rest := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		if ppid, _ := strconv.Atoi(rest[1]); ppid == parent {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// TestFailpoints kills ringwall and the guest after every named step of a run, and has
// the guest end or hang after each of its own. Where ringwall lives it cleans up itself;
// where it does not, one gc does.
func TestFailpoints(t *testing.T) {
	weak := testenv.Build(t, "cmd/ringwall-guest", "ringwall_weak")
	home := newTestHome(t)
	dir := home.dir
	word := "failpoint-" + filepath.Base(dir)
	command := func(name, at, victim string, args ...string) *exec.Cmd {
		return home.command([]string{dieAt + "=" + at, dieVictim + "=" + victim, dieGuest + "=" + weak}, name, args...)
	}
	run := []string{"sh", "-c", "echo x > made; : " + word}
	out, err := command("dier", "", "", run...).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var steps [][]string
	seen := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if !seen[line] {
			steps = append(steps, strings.Fields(line))
		}
		seen[line] = true
	}
	if len(steps) < 20 {
		t.Fatalf("steps: %q", steps)
	}
	sandboxes := func() []string {
		left, _ := filepath.Glob(filepath.Join(dir, "run", "sandboxes", "*"))
		return left
	}
	settled := func(t *testing.T) {
		t.Helper()
		if out, err := command("ringwall", "", "", "gc").CombinedOutput(); err != nil {
			t.Errorf("gc: %v: %s", err, out)
		}
		if left := sandboxes(); len(left) > 0 {
			t.Errorf("left behind after gc: %v", left)
		}
		// Every workspace that is left is whole and kept.
		out, err := command("ringwall", "", "", "workspaces", "--json").CombinedOutput()
		if err != nil || strings.Contains(string(out), `"active"`) {
			t.Errorf("workspaces: %v: %s", err, out)
		}
		left := func() []string { return append(running(word), guests(weak, dir)...) }
		for deadline := time.Now().Add(5 * time.Second); len(left()) > 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("still running: %v", left())
				break
			}
		}
	}
	for _, step := range steps {
		victims := []string{"ringwall", "guest"}
		if step[0] == "guest" {
			victims = []string{"end", "hang"}
		}
		for _, victim := range victims {
			t.Run(strings.Join(step, " ")+"/"+victim, func(t *testing.T) {
				testenv.Leaks(t)
				cmd := command("dier", step[1], victim, run...)
				if victim == "hang" {
					if err := cmd.Start(); err != nil {
						t.Fatal(err)
					}
					for deadline := time.Now().Add(5 * time.Second); len(guests(weak, dir)) == 0 && time.Now().Before(deadline); {
						time.Sleep(5 * time.Millisecond)
					}
					time.Sleep(30 * time.Millisecond)
					if len(guests(weak, dir)) == 0 {
						t.Error("no guest hangs")
					}
					cmd.Process.Kill()
					cmd.Wait()
				} else if out, err := cmd.CombinedOutput(); victim == "ringwall" && err == nil {
					t.Errorf("it was not killed: %s", out)
				}
				if left := sandboxes(); len(left) > 0 && (victim == "guest" || victim == "end") {
					t.Errorf("ringwall lives and left %v", left)
				}
				settled(t)
			})
		}
	}
}

// guests returns the guests that run: those of the program weak, and of the one that
// lies below dir.
func guests(weak, dir string) (all []string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, path := range paths {
		if exe, err := os.Readlink(path); err == nil && (exe == weak || strings.HasPrefix(exe, dir+"/state/")) {
			all = append(all, path+" "+exe)
		}
	}
	return all
}

// running returns the command lines of processes that have word on them.
func running(word string) (all []string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		if line, err := os.ReadFile(path); err == nil && strings.Contains(string(line), word) && !strings.Contains(string(line), "dier") {
			all = append(all, string(line))
		}
	}
	return all
}
