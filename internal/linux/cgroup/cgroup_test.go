package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
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
		t.Skip(err)
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
	for name, p := range testPlaces(t) {
		t.Run(name, func(t *testing.T) {
			testenv.Leaks(t)
			if l.PIDs > 0 && !p.Has("pids") || l.MemoryBytes > 0 && !p.Has("memory") {
				if _, err := p.New("lacking", l); !errors.Is(err, ErrMissing) {
					t.Errorf("New = %v, want ErrMissing", err)
				}
				t.Skip("no controller here")
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
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !ok {
		if err := g.Add(cmd.Process.Pid); err != nil {
			cmd.Process.Kill()
			cmd.Wait()
			t.Fatal(err)
		}
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

func TestPIDs(t *testing.T) {
	each(t, Limits{PIDs: 40}, func(t *testing.T, p *Place, g *Group) {
		_, wait := start(t, g, "forks")
		until(t, "a fork refused", func() bool { return stats(t, g).PIDsHits > 0 })
		if n := members(t, g); n < 2 || n > 40 {
			t.Errorf("%d processes with a limit of 40", n)
		}
		if err := g.Kill(testCtx(t)); err != nil {
			t.Fatal(err)
		}
		wait()
		if n := members(t, g); n != 0 {
			t.Errorf("%d processes after Kill", n)
		}
	})
}

func TestMemory(t *testing.T) {
	each(t, Limits{MemoryBytes: 64 << 20}, func(t *testing.T, p *Place, g *Group) {
		cmd, wait := start(t, g, "eat")
		wait()
		if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != syscall.SIGKILL {
			t.Errorf("ended with %v", cmd.ProcessState)
		}
		s := stats(t, g)
		t.Logf("%+v", s)
		if s.OOMKills < 1 {
			t.Errorf("no oom kill counted: %+v", s)
		}
		// What is charged while a process ends may go over the limit.
		if s.MemoryPeak != -1 && (s.MemoryPeak < 48<<20 || s.MemoryPeak > 65<<20) {
			t.Errorf("peak: %+v", s)
		}
	})
}

func TestCPU(t *testing.T) {
	each(t, Limits{}, func(t *testing.T, p *Place, g *Group) {
		_, wait := start(t, g, "spin")
		wait()
		s := stats(t, g)
		t.Logf("%+v", s)
		if s.CPUTotal < 5e6 || s.CPUTotal > 5e9 || s.CPUUser < 0 || s.CPUSystem < 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestKillStorm(t *testing.T) {
	each(t, Limits{}, func(t *testing.T, p *Place, g *Group) {
		_, wait := start(t, g, "storm")
		until(t, "the storm", func() bool { return members(t, g) >= 4 })
		time.Sleep(50 * time.Millisecond)
		at := time.Now()
		if err := g.Kill(testCtx(t)); err != nil {
			t.Fatal(err)
		}
		t.Logf("killed in %v", time.Since(at))
		wait()
		time.Sleep(20 * time.Millisecond)
		if n := members(t, g); n != 0 {
			t.Errorf("%d processes after Kill", n)
		}
		if err := g.Kill(testCtx(t)); err != nil {
			t.Errorf("Kill of an empty group: %v", err)
		}
	})
}

// TestRemove covers groups below ours, with processes, and twice.
func TestRemove(t *testing.T) {
	each(t, Limits{}, func(t *testing.T, p *Place, g *Group) {
		nest := func() (ends []func()) {
			for _, d := range g.dirs {
				deep := d.path + "/a/b/c"
				if err := errors.Join(os.MkdirAll(deep, 0o755), os.Mkdir(d.path+"/a/d", 0o755)); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command("/bin/sleep", "60")
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				ends = append(ends, func() { cmd.Wait() })
				err := g.Add(cmd.Process.Pid)
				if err == nil {
					err = os.WriteFile(deep+"/cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0)
				}
				if err != nil {
					cmd.Process.Kill()
					t.Fatal(err)
				}
			}
			return ends
		}
		paths := func() (all []string) {
			for _, d := range g.dirs {
				all = append(all, d.path)
			}
			return all
		}()
		gone := func(how string) {
			for _, dir := range paths {
				if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("%s: %s is left: %v", how, dir, err)
				}
			}
		}

		ends := nest()
		short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := g.Remove(short); !errors.Is(err, syscall.EBUSY) {
			t.Errorf("Remove with processes: %v, want EBUSY", err)
		}
		if err := errors.Join(g.Kill(testCtx(t)), g.Remove(testCtx(t)), g.Remove(testCtx(t)), g.Kill(testCtx(t))); err != nil {
			t.Fatal(err)
		}
		for _, end := range ends {
			end()
		}
		gone("Group.Remove")

		name := strings.TrimPrefix(path.Base(paths[0]), Prefix)
		again, err := p.New(name, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		g.dirs = again.dirs
		again.Close()
		if _, err := p.New(name, Limits{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("New of a group that exists: %v", err)
		}
		ends = nest()
		if err := errors.Join(Remove(paths), Remove(paths)); err != nil {
			t.Fatal(err)
		}
		for _, end := range ends {
			end()
		}
		gone("Remove")
	})
}

// TestNewUndone sees that New leaves nothing when a later directory fails.
func TestNewUndone(t *testing.T) {
	for name, p := range testPlaces(t) {
		testenv.Leaks(t)
		bad := &Place{hierarchies: slices.Clone(p.hierarchies), features: p.features}
		bad.hierarchies = append(bad.hierarchies, hierarchy{parent: "/nowhere"})
		if _, err := bad.New("undone", Limits{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNobody(t *testing.T) {
	testenv.Require(t, "root")
	cmd := nobody(t, "find")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "true ") {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}

// TestDelegated gives nobody a group as a user's systemd does (app.slice, and the
// scope in it where the process is), and has it make a group there.
func TestDelegated(t *testing.T) {
	each(t, Limits{}, func(t *testing.T, p *Place, g *Group) {
		if !g.dirs[0].v2 {
			t.Skip("nobody delegates v1")
		}
		slice := g.dirs[0].path + "/app.slice"
		if err := os.MkdirAll(slice+"/run.scope", 0o755); err != nil {
			t.Fatal(err)
		}
		wants := []string{"memory", "pids", "cpu"}
		on := enable(g.dirs[0].path, wants)
		for _, dir := range []string{slice, slice + "/run.scope"} {
			for _, file := range []string{"", "/cgroup.procs", "/cgroup.threads", "/cgroup.subtree_control"} {
				if err := os.Chown(dir+file, 65534, 65534); err != nil {
					t.Fatal(err)
				}
			}
		}
		scope, err := os.Open(slice + "/run.scope")
		if err != nil {
			t.Fatal(err)
		}
		defer scope.Close()
		cmd := nobody(t, "delegated")
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(scope.Fd())
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		parent := slice
		if len(on) == 0 { // nothing to win above
			parent += "/run.scope"
		}
		want := fmt.Sprintf("v2 %v %v [%s/ringwall-mine] <nil>", len(on) > 0, len(on) > 0, parent)
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%v, got %swant %s", err, out, want)
		}
	})
}

// TestNamespace is a container with rights: what it sees as the root of v2 is not
// the real root and has processes, so its groups get no controllers.
func TestNamespace(t *testing.T) {
	each(t, Limits{}, func(t *testing.T, p *Place, g *Group) {
		if !g.dirs[0].v2 {
			t.Skip("v2 only")
		}
		dir, err := os.Open(g.dirs[0].path)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{"CGROUP_TEST_MEMBER=namespace"}
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd()),
			Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWCGROUP}
		out, err := cmd.CombinedOutput()
		if want := "<nil> v2 false false [/sys/fs/cgroup/ringwall/ringwall-mine] <nil>\n"; err != nil || string(out) != want {
			t.Errorf("%v, got %swant %s", err, out, want)
		}
	})
}

func delegated() string {
	p, err := Find()
	if err != nil {
		return err.Error()
	}
	l := Limits{}
	if p.Has("memory") && p.Has("pids") {
		l = Limits{PIDs: 10, MemoryBytes: 1 << 20}
	}
	ctx := context.Background()
	g, err := p.New("mine", l)
	if err == nil {
		sleep := exec.Command("/bin/sleep", "60")
		err = sleep.Start()
		err = errors.Join(err, g.Add(sleep.Process.Pid), g.Kill(ctx))
		sleep.Wait()
		err = errors.Join(err, g.Remove(ctx))
	}
	return fmt.Sprint(p.Version(), " ", p.Has("memory"), " ", p.Has("pids"), " ", p.Paths("mine"), " ", err)
}

// nobody is a member without rights.
func nobody(t *testing.T, do string) *exec.Cmd {
	// The test's program lies in a directory that only root may enter.
	exe := path.Join(testenv.Dir(t), "cgroup.test")
	raw, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(exe, raw, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{"CGROUP_TEST_MEMBER=" + do}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd
}

// BenchmarkGroup is what a group costs a sandbox; the medians count. A process is
// started each time, which "start" includes: outside of groups, moved by Add, made
// in the group.
func BenchmarkGroup(b *testing.B) {
	testenv.Require(b, "root")
	p, err := Find()
	if err != nil {
		b.Skip(err)
	}
	for _, how := range []string{"none", "add", "clone"} {
		b.Run(how, func(b *testing.B) { benchmarkGroup(b, p, how) })
	}
}

func benchmarkGroup(b *testing.B, p *Place, how string) {
	if how == "clone" && p.Version() != "v2" {
		b.Skip("not on " + p.Version())
	}
	var g *Group
	var sleep *exec.Cmd
	steps := []struct {
		name string
		do   func() error
	}{
		{"find", func() (err error) { p, err = Find(); return err }},
		{"new", func() (err error) {
			g, err = p.New("bench", Limits{PIDs: 1024, MemoryBytes: 1 << 30})
			return err
		}},
		{"start", func() error {
			fd, _ := g.FD()
			sleep = exec.Command("/bin/sleep", "60")
			sleep.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: how == "clone", CgroupFD: fd}
			err := sleep.Start()
			if err == nil && how == "add" {
				err = g.Add(sleep.Process.Pid)
			}
			return err
		}},
		{"stats", func() error { _, err := g.Stats(); return err }},
		{"", func() error { sleep.Process.Kill(); sleep.Wait(); return nil }},
		{"remove", func() error { return g.Remove(context.Background()) }},
	}
	times := make([][]time.Duration, len(steps))
	for b.Loop() {
		for i, step := range steps {
			at := time.Now()
			if err := step.do(); err != nil {
				b.Fatal(step.name, err)
			}
			times[i] = append(times[i], time.Since(at))
		}
	}
	for i, step := range steps {
		if step.name != "" {
			slices.Sort(times[i])
			b.ReportMetric(float64(times[i][len(times[i])/2].Microseconds()), "p50-"+step.name+"-µs")
		}
	}
}
