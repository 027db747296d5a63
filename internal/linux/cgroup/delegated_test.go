package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/ringwall/ringwall/internal/testenv"
)

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
	eachV2(t, func(t *testing.T, p *Place, g *Group) {
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
	eachV2(t, func(t *testing.T, p *Place, g *Group) {
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
		fd, ok := g.FD()
		sleep.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: ok, CgroupFD: fd}
		err = g.Fork(sleep.Start)
		err = errors.Join(err, g.Kill(ctx))
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
// started each time, which "start" includes: outside of groups, or born in one.
