// Package testenv is what tests share: what a test needs of its host, programs built
// for tests, and checks that nothing is left behind.
package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// features are what tests can require, each with what to say when it is missing and
// nil when it is there.
var features = map[string]func() error{
	"root":     func() error { return when(os.Geteuid() == 0, "not root") },
	"user":     func() error { return when(os.Geteuid() != 0, "root") },
	"go":       func() error { return program("go") },
	"git":      func() error { return program("/usr/bin/git") },
	"python3":  func() error { return program("/usr/bin/python3") },
	"gcc":      func() error { return program("/usr/bin/gcc") },
	"gdb":      func() error { return program("/usr/bin/gdb") },
	"strace":   func() error { return program("/usr/bin/strace") },
	"node":     func() error { return program("/usr/bin/node") },
	"java":     func() error { return program("/usr/bin/java") },
	"chromium": func() error { return program("/usr/bin/chromium") },
	"overlay":  func() error { return filesystem("overlay", "overlayfs") },
	"userns": func() error {
		raw, err := os.ReadFile("/proc/sys/user/max_user_namespaces")
		return when(err == nil && strings.TrimSpace(string(raw)) != "0", "no user namespaces")
	},
	"ldd": func() error { return program("/usr/bin/ldd") },
	"seccomp": func() error {
		raw, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail")
		return when(err == nil && strings.Contains(string(raw), "user_notif"), "the kernel has no seccomp user notification")
	},
	"cgroup":   func() error { return nil }, // the test looks and calls Missing itself
	"cgroup2":  func() error { return nil }, // likewise
	"landlock": func() error { return nil }, // likewise
	"memory":   func() error { return nil }, // likewise: that it can be limited
	"checkout": func() error { return nil }, // the test looks and calls Missing itself
	"ns":       func() error { return nil }, // the suite asks Detect and calls Missing itself
}

type missing string

func (m missing) Error() string { return string(m) }

func when(ok bool, otherwise string) error {
	if ok {
		return nil
	}
	return missing(otherwise)
}

func program(name string) error {
	_, err := exec.LookPath(name)
	return err
}

// filesystem looks for a file system that the kernel has, or loads when it is mounted.
func filesystem(name, module string) error {
	raw, err := os.ReadFile("/proc/filesystems")
	if err == nil && strings.Contains(string(raw), "\t"+name+"\n") {
		return nil
	}
	modules, _ := filepath.Glob("/lib/modules/" + kernelRelease() + "/kernel/fs/" + module)
	return when(len(modules) > 0, "the kernel has no "+name)
}

func kernelRelease() string {
	raw, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(raw))
}

// Require skips the test unless the host has every feature. If RINGWALL_REQUIRE names
// the feature, or is "all", its absence is a failure: CI says what its hosts have. An
// unknown feature fails the test.
func Require(tb testing.TB, names ...string) {
	tb.Helper()
	for _, name := range names {
		check, ok := features[name]
		if !ok {
			tb.Fatalf("test requires the unknown feature %q", name)
		}
		if err := check(); err != nil {
			Missing(tb, name, err.Error())
		}
	}
}

// Missing reports that the host lacks a feature, as Require does.
func Missing(tb testing.TB, name, why string) {
	tb.Helper()
	required := strings.Split(os.Getenv("RINGWALL_REQUIRE"), ",")
	if slices.Contains(required, name) || slices.Contains(required, "all") {
		tb.Fatalf("RINGWALL_REQUIRE names %s, which is missing here: %s", name, why)
	}
	tb.Skipf("needs %s: %s", name, why)
}

// Dir returns a temporary directory that every uid may enter, below one that only
// tests use; t.TempDir is closed to the uids of a sandbox's guest.
func Dir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "ringwall-test-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("the test's own directory: %v", err)
		}
	})
	return dir
}
