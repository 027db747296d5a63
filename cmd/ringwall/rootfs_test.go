package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/testenv"
)

// testRoot makes a root file system of a shell and a few programs of this host.
func testRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(testenv.Dir(t), "root:with,odd name")
	library := regexp.MustCompile(`(/\S+) \(0x`)
	copyTo := func(from, to string) {
		t.Helper()
		to = filepath.Join(root, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, raw, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sh", "cat", "ls", "id", "touch", "mknod"} {
		path, err := exec.LookPath("/usr/bin/" + name)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("ldd", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		copyTo(path, "usr/bin/"+name)
		for _, m := range library.FindAllStringSubmatch(string(out), -1) {
			copyTo(m[1], m[1])
		}
	}
	if err := os.Symlink("usr/bin", filepath.Join(root, "bin")); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestRootfs runs programs of a foreign root file system, first of a friendly one and
// then of ones that do what they can to lead Ringwall astray.
func TestRootfs(t *testing.T) {
	testenv.Require(t, "userns", "overlay", "ldd")
	root := testRoot(t)
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	inside, _ := both(t, func(dir string) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("the project's"), 0o644); err != nil {
			t.Fatal(err)
		}
	}, "--rootfs", root)
	write("etc/motd", "foreign")
	write("opt/tool/data", "data")
	write("top", "at the top")
	friendly := func(t *testing.T) {
		t.Helper()
		for command, want := range map[string]string{
			"cat /etc/motd":                      "foreign",
			"cat /opt/tool/data /top":            "dataat the top",
			"cat file":                           "the project's",
			"id -un":                             "user",
			"cat /etc/hostname":                  "ringwall\n",
			"cat /etc/resolv.conf":               "no network",
			"echo x > /tmp/x; cat /tmp/x":        "x",
			"echo y > ~/y; cat ~/y":              "y",
			"echo z > new; cat new":              "z",
			"cat /proc/self/comm; ls /dev/pts":   "cat",
			"touch /usr/x 2>&1 || cat /dev/null": "Read-only",
			"touch /etc/x 2>&1 || cat /dev/null": "Read-only",
		} {
			if command == "id -un" && os.Geteuid() != 0 {
				continue // the caller's own name
			}
			if out := inside.run("sh", "-c", command); !strings.Contains(out, want) {
				t.Errorf("%s: %q, want %q", command, out, want)
			}
		}
		if out := inside.run("ls", "/"); strings.Contains(out, "srv") || !strings.Contains(out, "opt") {
			t.Errorf("at the top: %q", out)
		}
	}
	friendly(t)

	// Links where ours has to lie, and what must count nowhere.
	before, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil {
		t.Fatal(err)
	}
	link("/etc", "dev")
	link("/", "proc")
	link("/proc/sys/kernel/core_pattern", "etc/resolv.conf")
	link("../../../../../../etc/passwd", "etc/passwd")
	link("/proc/self/mem", "etc/mtab")
	write("etc/hostname/is/a/directory", "")
	link("/etc", "home")
	link("/", "tmp")
	write("run", "a file")
	write("sys/kernel/x", "")
	write("name\nwith a line end: and, commas\\", "odd")
	if err := unix.Mkfifo(filepath.Join(root, "fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
	if l, err := net.Listen("unix", filepath.Join(root, "s")); err == nil { // the path may be too long for a socket
		defer l.Close()
	}
	link("/etc", filepath.Join("var", "tmp"))
	if os.Geteuid() == 0 {
		for _, name := range []string{"kmsg", "opt/kmsg"} {
			if err := unix.Mknod(filepath.Join(root, name), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 11))); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Chown(filepath.Join(root, "usr/bin/id"), 4321, 4321); err != nil {
			t.Fatal(err)
		}
		if err := unix.Chmod(filepath.Join(root, "usr/bin/id"), 0o6755); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("hostile", friendly)
	for command, want := range map[string]string{
		"ls /dev/":                     "null",
		"cat /dev/null":                "",
		"cat /name*":                   "odd",
		"ls /run/ /sys/":               "devices",
		"id":                           "uid=",
		"cat /opt/kmsg 2>&1 || echo":   "Permission denied",
		"cat /kmsg /fifo 2>&1 || echo": "No such file",
	} {
		if strings.Contains(command, "kmsg") && os.Geteuid() != 0 {
			continue
		}
		out := inside.run("sh", "-c", command)
		if !strings.Contains(out, want) || strings.Contains(out, "euid=") {
			t.Errorf("%s: %q, want %q", command, out, want)
		}
	}
	if after, err := os.ReadFile("/proc/sys/kernel/core_pattern"); err != nil || string(after) != string(before) {
		t.Errorf("core_pattern is %q now, was %q", after, before)
	}

	// /etc itself a link, and no shell.
	if err := os.Rename(filepath.Join(root, "etc"), filepath.Join(root, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	link("/proc", "etc")
	if out := inside.run("cat", "/etc/hostname"); out != "ringwall\n" {
		t.Errorf("/etc/hostname: %q", out)
	}
	if err := os.Remove(filepath.Join(root, "usr/bin/sh")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(inside.prefix[0], append(inside.prefix[1:], "sh", "-c", "true")...)
	cmd.Dir, cmd.Env = inside.dir, inside.env
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 127 || !strings.Contains(string(out), "another --rootfs") {
		t.Errorf("no shell: %v: %s", cmd.ProcessState, out)
	}
}
