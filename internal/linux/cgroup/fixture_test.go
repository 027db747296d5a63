package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/testenv"
)

// TestMain is also the program of the groups' members, and takes the fixed parents
// away that Find makes, unless they were there before.
func TestMain(m *testing.M) {
	if do := os.Getenv("CGROUP_TEST_MEMBER"); do != "" {
		member(do)
	}
	before := parents()
	code := m.Run()
	for _, dir := range parents() {
		if slices.Contains(before, dir) {
			continue
		}
		if err := os.Remove(dir); err != nil {
			fmt.Fprintln(os.Stderr, "left behind:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func parents() []string {
	var all []string
	for _, pattern := range []string{"/sys/fs/cgroup/ringwall", "/sys/fs/cgroup/*/ringwall"} {
		found, _ := filepath.Glob(pattern)
		all = append(all, found...)
	}
	return all
}

// member does what a test wants, once it is in its group: stdin ends then.
func member(do string) {
	io.Copy(io.Discard, os.Stdin)
	switch do {
	case "find":
		_, err := Find()
		fmt.Println(errors.Is(err, ErrNone), err)
	case "delegated":
		fmt.Println(delegated())
	case "namespace":
		// The same file system twice in one place is EBUSY: hence a tmpfs between.
		fmt.Println(errors.Join(
			syscall.Mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, ""),
			syscall.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, "")), delegated())
	case "forks": // until the limit, and on
		for {
			syscall.ForkExec("/bin/sleep", []string{"sleep", "60"}, nil)
		}
	case "eat":
		for {
			page := make([]byte, 1<<20)
			for i := range page {
				page[i] = 1
			}
			eaten = append(eaten, page)
		}
	case "spin":
		for start := time.Now(); time.Since(start) < 100*time.Millisecond; {
		}
	case "storm": // processes that live for moments, each starting its successor
		for range 5 {
			syscall.ForkExec("/bin/sh", []string{"sh", "-c", `p='sh -c "$p" & exit'; export p; eval "$p"`},
				&syscall.ProcAttr{Env: []string{"PATH=/bin:/usr/bin"}})
		}
		select {}
	}
	os.Exit(0)
}

var eaten [][]byte

// testPlaces is every kind of place that this host has. Besides Find's, those that it
// would find without v2, and without cgroup.kill.
func testPlaces(t *testing.T) map[string]*Place {
	t.Helper()
	testenv.Require(t, "root")
	found, err := Find()
	if errors.Is(err, ErrNone) {
		testenv.Missing(t, "cgroup", err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*Place{found.Version(): found}
	if found.Has("kill") {
		old := *found
		old.features = []string{"freezer"}
		all[found.Version()+" before 5.14"] = &old
	}
	self, _ := os.ReadFile("/proc/self/cgroup")
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	v1 := slices.DeleteFunc(parseMounts(string(mounts)), func(m mount) bool { return m.v2 })
	if p, err := find(parseSelf(string(self)), v1, true); err == nil {
		all["v1"] = p
	} else if !errors.Is(err, ErrNone) {
		t.Fatal(err)
	}
	return all
}

// each runs a test in a new group of each place, and sees that nothing is left.
func each(t *testing.T, l Limits, test func(t *testing.T, p *Place, g *Group)) {
	in(t, testPlaces(t), l, test)
}

// eachV2 is each for the places that have a v2 directory.
func eachV2(t *testing.T, test func(t *testing.T, p *Place, g *Group)) {
	all := testPlaces(t)
	maps.DeleteFunc(all, func(_ string, p *Place) bool { return !p.hierarchies[0].v2 })
	if len(all) == 0 {
		testenv.Missing(t, "cgroup2", "no v2 hierarchy")
	}
	in(t, all, Limits{}, test)
}

func in(t *testing.T, places map[string]*Place, l Limits, test func(t *testing.T, p *Place, g *Group)) {
	for name, p := range places {
		t.Run(name, func(t *testing.T) {
			testenv.Leaks(t)
			if l.PIDs > 0 && !p.Has("pids") || l.MemoryBytes > 0 && !p.Has("memory") {
				if _, err := p.New("lacking", l); !errors.Is(err, ErrMissing) {
					t.Errorf("New = %v, want ErrMissing", err)
				}
				return
			}
			id := fmt.Sprintf("test%d", os.Getpid())
			g, err := p.New(id, l)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := errors.Join(g.Kill(testCtx(t)), g.Remove(testCtx(t))); err != nil {
					t.Error(err)
				}
				for _, dir := range p.Paths(id) {
					if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("%s is left: %v", dir, err)
					}
				}
			}()
			test(t, p, g)
		})
	}
}

func testCtx(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// start runs a member in g. Its end is collected when the test ends, or by wait.
func start(t *testing.T, g *Group, do string) (cmd *exec.Cmd, wait func()) {
	t.Helper()
	cmd = exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "CGROUP_TEST_MEMBER="+do)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	fd, ok := g.FD()
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: ok, CgroupFD: fd}
	if err := g.Fork(cmd.Start); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	return cmd, func() { cmd.Wait() }
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func stats(t *testing.T, g *Group) Stats {
	t.Helper()
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// members counts the processes in g.
func members(t *testing.T, g *Group) int {
	t.Helper()
	raw, err := os.ReadFile(g.dirs[0].path + "/cgroup.procs")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(raw), "\n")
}
