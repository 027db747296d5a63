package cgroup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/testenv"
)

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
				fd, ok := g.FD()
				cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: ok, CgroupFD: fd}
				if err := g.Fork(cmd.Start); err != nil {
					t.Fatal(err)
				}
				ends = append(ends, func() { cmd.Wait() })
				if err := os.WriteFile(deep+"/cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
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

// TestSweep sees that only empty groups go that nobody wants kept.
func TestSweep(t *testing.T) {
	each(t, Limits{}, func(t *testing.T, p *Place, g *Group) {
		_, wait := start(t, g, "storm")
		defer func() { g.Kill(testCtx(t)); wait() }()
		var made []string
		for _, name := range []string{"sweepaaaaaaa", "sweepkeeping"} {
			stray, err := p.New(name, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			defer stray.Remove(testCtx(t))
			made = append(made, p.Paths(name)...)
		}
		// Other tests of this host have groups too.
		removed, err := Sweep(testCtx(t), func(name string) bool {
			return name != "sweepaaaaaaa" && name != path.Base(g.dirs[0].path)[len(Prefix):]
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(removed)
		want := slices.Sorted(slices.Values(p.Paths("sweepaaaaaaa")))
		if !slices.Equal(removed, want) {
			t.Errorf("removed %q, want %q", removed, want)
		}
		for _, dir := range made[len(want):] {
			if _, err := os.Stat(dir); err != nil {
				t.Error(err)
			}
		}
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

func BenchmarkGroup(b *testing.B) {
	testenv.Require(b, "root")
	p, err := Find()
	if err != nil {
		b.Skip(err)
	}
	for _, how := range []string{"none", "born"} {
		b.Run(how, func(b *testing.B) { benchmarkGroup(b, p, how) })
	}
}

func benchmarkGroup(b *testing.B, p *Place, how string) {
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
			sleep = exec.Command("/bin/sleep", "60")
			if how == "none" {
				return sleep.Start()
			}
			fd, ok := g.FD()
			sleep.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: ok, CgroupFD: fd}
			return g.Fork(sleep.Start)
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
