package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/cli"
	"github.com/ringwall/ringwall/internal/guest/blob"
	"github.com/ringwall/ringwall/internal/keeper"
	"github.com/ringwall/ringwall/internal/linux/cgroup"
	"github.com/ringwall/ringwall/internal/testenv"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ringwall": func() { os.Exit(cli.Main()) }, "dier": dier,
		"keeping": keeping, keeper.Arg0: func() { os.Exit(cli.Main()) }})
}

// TestScripts plays the files of testdata/script, each in a home and state directory
// of its own.
func TestScripts(t *testing.T) {
	if _, err := blob.Extract(testenv.Dir(t)); err != nil {
		t.Fatalf("%v: run the tests with `make test`, which builds it", err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
		TestWork:            os.Getenv("RINGWALL_TEST_WORK") != "",
		Setup: func(e *testscript.Env) error {
			// Started by root, a sandbox's guest has an id of its own: it must be able to
			// enter what it shows.
			if err := os.Chmod(e.WorkDir, 0o755); err != nil {
				return err
			}
			for name, dir := range map[string]string{"HOME": "home", "RINGWALL_STATE_DIR": "state", "RINGWALL_RUNTIME_DIR": "run", "PROJECT": "project"} {
				path := filepath.Join(e.WorkDir, dir)
				if err := os.MkdirAll(path, 0o755); err != nil {
					return err
				}
				e.Setenv(name, path)
			}
			e.Setenv("PATH", e.Getenv("PATH")+":/usr/local/bin:/usr/bin:/bin")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "memory": // can be limited
				place, err := cgroup.Find()
				return err == nil && place.Has("memory"), nil
			case "git":
				_, err := os.Stat("/usr/bin/git")
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status,
			"gone":   gone,
			"tmpfs":  tmpfs,
		},
	})
}

// status runs a command that must end with the given exit status.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND [ARG...]")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("status %d, want %s", got, args[0])
	}
}

// gone fails unless no sandbox is recorded and no workspace is active.
func gone(ts *testscript.TestScript, neg bool, args []string) {
	for _, pattern := range []string{"run/sandboxes/*"} {
		left, err := filepath.Glob(ts.MkAbs(pattern))
		if err != nil || len(left) > 0 {
			ts.Fatalf("left behind: %v %v", left, err)
		}
	}
}

// tmpfs mounts a file system of the given size, which goes away with the test.
func tmpfs(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: tmpfs DIR OPTIONS|noexec")
	}
	dir, flags, options := ts.MkAbs(args[0]), uintptr(unix.MS_NOSUID|unix.MS_NODEV), args[1]
	if options == "noexec" {
		flags, options = flags|unix.MS_NOEXEC, ""
	}
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(unix.Mount("tmpfs", dir, "tmpfs", flags, options))
	ts.Defer(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}
