package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/backend/ns"
	"github.com/ringwall/ringwall/internal/host"
	"github.com/ringwall/ringwall/internal/keeper"
	"github.com/ringwall/ringwall/internal/rundir"
	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/testenv"
	"github.com/ringwall/ringwall/internal/workspace"
)

// keeping makes a sandbox that outlives it, runs a program there, prints each finished
// step and is killed after one, or has the keeper or the guest killed. With the argument
// "end" it destroys all that live.
func keeping() {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	dirs, err := host.FindDirs(host.Caller())
	check(err)
	backend := ns.New(ns.Config{RuntimeDir: dirs.Runtime, StateDir: dirs.State})
	if os.Args[1] == "end" {
		refs, err := backend.List(ctx)
		check(err)
		for _, r := range refs {
			box, err := backend.Attach(ctx, r)
			if code := sandbox.CodeOf(err); code == sandbox.CodeLost || code == sandbox.CodeNotFound || code == sandbox.CodeUnsupported {
				continue // it is about to end
			}
			check(err)
			check(box.Destroy(ctx))
			fmt.Println("ended", r.ID)
		}
		return
	}
	project, err := os.Getwd()
	check(err)
	id, work := sandbox.NewID(), sandbox.NewID()
	step := func(name string) {
		fmt.Println(name)
		if name != os.Getenv(dieAt) {
			return
		}
		for _, k := range children(os.Getpid()) {
			switch os.Getenv(dieVictim) {
			case "keeper":
				syscall.Kill(k, syscall.SIGKILL)
			case "guest":
				for _, g := range children(k) {
					syscall.Kill(g, syscall.SIGKILL)
				}
			}
		}
		if os.Getenv(dieVictim) == "ringwall" {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	root, err := rundir.Open(dirs.Runtime)
	check(err)
	dir, err := root.Create(rundir.Record{ID: id, Backend: ns.Name, Project: project, Owner: os.Getpid(), Started: time.Now()})
	check(err)
	store, err := workspace.Open(dirs.State)
	check(err)
	check(dir.Own(sandbox.Resource{Kind: sandbox.ResourceWorkspace, Name: work}))
	var w *workspace.Workspace
	box, err := backend.Create(ctx, sandbox.Spec{ID: id, Dir: dir.Path(), Life: sandbox.LifeSession, Project: project,
		Layers: store.LayersDir(work), User: sandbox.User{UID: os.Geteuid(), GID: os.Getegid(), Name: "user", Home: "/home/user"},
		Own: dir.Own,
		MakeLayers: func() (err error) {
			w, err = store.Create(workspace.Create{ID: work, Project: project, Shares: map[int]string{}})
			return err
		},
		Hold:  func() ([]*os.File, error) { return []*os.File{dir.Lock(), w.Lock()}, nil },
		Trace: func(s sandbox.Step) { step(s.Where + " " + s.Name) }})
	check(err)
	step("kept")
	p, err := box.Start(ctx, sandbox.Cmd{Args: os.Args[1:], Env: []string{"PATH=/usr/bin:/bin"}, Dir: project, Stderr: os.Stderr})
	check(err)
	step("started")
	exit, err := p.Wait(ctx)
	check(err)
	if exit.Status() != 0 {
		check(fmt.Errorf("%+v", exit))
	}
	step("done")
}

// keepers returns the keepers that hold something below dir open.
func keepers(dir string) (all []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || !strings.HasPrefix(to, dir+"/") {
			continue
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(link)), "cmdline"))
		if err == nil && strings.HasPrefix(string(line), keeper.Arg0+"\x00") {
			all = append(all, string(line))
		}
	}
	return all
}

// TestSessionFailpoints kills the creator, the keeper and the guest of a session after
// each step. Once the creator has said that the sandbox is to be kept, it is, whatever
// becomes of the creator; in every other case one gc finds nothing alive and leaves
// nothing but what the program changed.
func TestSessionFailpoints(t *testing.T) {
	home := newTestHome(t)
	dir := home.dir
	command := func(name, at, victim string, args ...string) *exec.Cmd {
		return home.command([]string{dieAt + "=" + at, dieVictim + "=" + victim}, name, args...)
	}
	word := "session-" + filepath.Base(dir)
	program := []string{"sh", "-c", "echo x > made; : " + word}
	left := func() []string {
		all, _ := filepath.Glob(filepath.Join(dir, "run", "sandboxes", "*"))
		all = append(all, running(word)...)
		return append(append(all, keepers(dir)...), guests("", dir)...)
	}
	// settled sees that a gc at last leaves nothing: a keeper needs a moment to notice
	// that its creator or guest is gone.
	settled := func(t *testing.T) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			out, err := command("ringwall", "", "", "gc").CombinedOutput()
			if err != nil {
				t.Fatalf("gc: %v: %s", err, out)
			}
			if len(left()) == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("left behind: %q", left())
			}
		}
		out, err := command("ringwall", "", "", "workspaces", "--json").CombinedOutput()
		if err != nil || strings.Contains(string(out), `"active"`) {
			t.Errorf("workspaces: %v: %s", err, out)
		}
	}
	out, err := command("keeping", "", "", program...).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var steps []string
	for _, s := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if !strings.HasPrefix(s, "guest") { // all told at once, when setup is over
			steps = append(steps, s)
		}
	}
	if len(steps) < 12 {
		t.Fatalf("steps: %q", steps)
	}
	// It lives: neither gc nor another run takes it for dead.
	for _, args := range [][]string{{"gc"}, {"run", "--", "true"}} {
		if out, err := command("ringwall", "", "", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if out, err := command("keeping", "", "", "end").Output(); err != nil || !strings.Contains(string(out), "ended") {
		t.Fatalf("what was kept is not there: %v: %s", err, out)
	}
	settled(t)
	kept := map[string]bool{"kept": true, "started": true, "done": true}
	for _, step := range steps {
		for _, victim := range []string{"ringwall", "keeper", "guest"} {
			t.Run(step+"/"+victim, func(t *testing.T) {
				testenv.Leaks(t)
				out, err := command("keeping", step, victim, program...).CombinedOutput()
				if victim == "ringwall" && err == nil {
					t.Errorf("it was not killed: %s", out)
				}
				unborn := victim == "guest" && (step == "host ids" || step == "host cgroup")
				if err == nil && !unborn && step != "started" && step != "done" {
					t.Errorf("it went well without its %s: %s", victim, out)
				}
				out, err = command("keeping", "", "", "end").CombinedOutput()
				lives := unborn || victim == "ringwall" && kept[step]
				if err != nil || lives && !strings.Contains(string(out), "ended") {
					t.Errorf("what was kept is not there: %v: %s", err, out)
				}
				settled(t)
			})
		}
	}
}
