package conformance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/testenv"
	"github.com/ringwall/ringwall/internal/workspace"
)

// lifeCases check that sandboxes end, and that nothing is left of them.
var lifeCases = []testCase{
	{"destroy is idempotent", func(f *fixture) {
		box := f.sandbox()
		for range 3 {
			if err := box.Destroy(context.Background()); err != nil {
				f.Fatal(err)
			}
		}
		f.fails(f.cmd("exit", "0"), sandbox.CodeConflict)
	}},
	{"destroy while programs run", func(f *fixture) {
		word := "running-" + f.spec.ID
		p := f.start(f.cmd("say", word))
		f.eventually("the program's start", func() bool { return len(hostPIDs(word)) > 0 })
		if err := f.sandbox().Destroy(context.Background()); err != nil {
			f.Fatal(err)
		}
		f.want("processes left", len(hostPIDs(word)), 0)
		exit := f.wait(p)
		f.want("lost or killed", exit.Reason == sandbox.ReasonLost || exit.Reason == sandbox.ReasonSignaled, true)
	}},
	{"created, never used", func(f *fixture) {
		testenv.Leaks(f.T)
		if err := f.sandbox().Destroy(context.Background()); err != nil {
			f.Fatal(err)
		}
	}},
	{"creation given up", func(f *fixture) {
		testenv.Leaks(f.T)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if box, err := f.backend.Create(ctx, f.spec); err == nil {
			box.Destroy(context.Background()) // had nothing to wait for
		}
	}},
	{"creation that fails", func(f *fixture) {
		if !f.target.Project {
			f.Skip("this backend makes nothing that could fail")
		}
		testenv.Leaks(f.T, f.dir)
		f.spec.Project = filepath.Join(f.dir, "gone")
		if box, err := f.backend.Create(f.ctx, f.spec); err == nil {
			box.Destroy(context.Background())
			f.Error("a sandbox on a project that does not exist")
		}
	}},
	{"nothing is left behind", func(f *fixture) {
		testenv.Leaks(f.T)
		for range 10 {
			box, err := f.backend.Create(f.ctx, f.spec)
			if err != nil {
				f.Fatal(err)
			}
			p, err := box.Start(f.ctx, f.cmd("linger"))
			if err != nil {
				f.Fatal(err)
			}
			f.wait(p)
			if err := box.Destroy(context.Background()); err != nil {
				f.Fatal(err)
			}
		}
	}},
	{"twenty at once", func(f *fixture) {
		testenv.Leaks(f.T)
		store, err := workspace.Open(f.dir)
		if err != nil {
			f.Fatal(err)
		}
		results := make(chan error, 20)
		for i := range 20 {
			go func() { results <- f.one(store, i) }()
		}
		for range 20 {
			if err := <-results; err != nil {
				f.Error(err)
			}
		}
	}},
}

// one makes a sandbox of its own, runs a program in it and destroys it.
func (f *fixture) one(store *workspace.Store, i int) (err error) {
	w, err := store.Create(workspace.Create{ID: sandbox.NewID(), Project: f.project, Shares: map[int]string{}})
	if err != nil {
		return err
	}
	defer func() {
		if e := w.Remove(); err == nil {
			err = e
		}
	}()
	spec := f.spec
	spec.ID, spec.Layers = sandbox.NewID(), w.LayersDir()
	box, err := f.backend.Create(f.ctx, spec)
	if err != nil {
		return err
	}
	defer func() {
		if e := box.Destroy(context.Background()); err == nil {
			err = e
		}
	}()
	p, err := box.Start(f.ctx, f.cmd("exit", fmt.Sprint(i)))
	if err != nil {
		return err
	}
	exit, err := p.Wait(f.ctx)
	if err == nil && exit.Code != i {
		err = fmt.Errorf("program %d ended with %d", i, exit.Code)
	}
	return err
}

// projectCases check the copy-on-write view. They run where there is one.
var projectCases = []testCase{
	{"project/the guest is as confined as its programs", func(f *fixture) {
		word := "guest-of-" + f.spec.ID
		f.start(f.cmd("say", word))
		f.eventually("the program's start", func() bool { return len(hostPIDs(word)) > 0 })
		program := "/proc/" + hostPIDs(word)[0]
		uid := statusLine(f, program, "Uid")
		threads, err := filepath.Glob("/proc/" + statusLine(f, program, "PPid") + "/task/*")
		if err != nil || len(threads) == 0 {
			f.Fatalf("the guest's threads: %v, %v", threads, err)
		}
		for _, thread := range append(threads, program) {
			for key, want := range map[string]string{"Uid": uid, "CapPrm": "0000000000000000", "CapEff": "0000000000000000",
				"CapAmb": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2", "Groups": statusLine(f, program, "Groups")} {
				f.want(thread+" "+key, statusLine(f, thread, key), want)
			}
		}
	}},
	{"project/signals have their default dispositions", func(f *fixture) {
		// Not the probe's own, whose runtime sets them anew.
		word := fmt.Sprintf("sleep\x0030.%09d", os.Getpid()) // no other test's
		c := f.cmd()
		c.Args = []string{"sh", "-c", strings.ReplaceAll(word, "\x00", " ") + "; :"}
		if _, err := f.sandbox().Start(f.ctx, c); err != nil {
			f.Fatal(err)
		}
		f.eventually("the program's start", func() bool { return len(hostPIDs(word)) > 0 })
		status := "/proc/" + hostPIDs(word)[0]
		// 32 and 34 are what a Go runtime cannot restore; C libraries use them inside.
		if ignored := statusLine(f, status, "SigIgn"); ignored != "0000000000000000" && ignored != "0000000280000000" {
			f.Errorf("ignored: %s", ignored)
		}
		f.want("blocked", statusLine(f, status, "SigBlk"), "0000000000000000")
		f.want("caught", statusLine(f, status, "SigCgt"), "0000000000000000")
	}},
	{"project/working directory through a descriptor", func(f *fixture) {
		// CVE-2024-21626: a directory of the host by way of a descriptor that leaked.
		for n := 3; n < 20; n++ {
			c := f.cmd("ls", ".")
			c.Dir = "/proc/self/fd/" + strconv.Itoa(n)
			if p, err := f.sandbox().Start(f.ctx, c); err == nil {
				f.Errorf("%s was accepted: %+v", c.Dir, f.wait(p))
			}
		}
	}},
	{"project/changes stay inside", func(f *fixture) {
		f.write("project/dir/old", "old")
		f.ok("write", filepath.Join(f.project, "new"), "new")
		f.ok("write", filepath.Join(f.project, "file"), "changed")
		f.ok("remove", filepath.Join(f.project, "dir"))
		f.want("inside", f.ok("read", filepath.Join(f.project, "file")), "changed")
		if err := f.sandbox().Destroy(context.Background()); err != nil {
			f.Fatal(err)
		}
		text, _ := os.ReadFile(filepath.Join(f.project, "file"))
		f.want("on the host", string(text), "text")
		changes, err := f.work.Changes()
		if err != nil {
			f.Fatal(err)
		}
		var got []string
		for _, c := range changes {
			got = append(got, string(c.Kind)+" "+c.Path)
		}
		f.want("changes", strings.Join(got, ", "), "D dir, M file, A new")
	}},
	{"project/forged deletions", func(f *fixture) {
		f.write("project/dir/old", "old")
		f.ok("forge", filepath.Join(f.project, "dir"))
		f.want("still there", f.ok("read", filepath.Join(f.project, "dir", "old")), "old")
		if err := f.sandbox().Destroy(context.Background()); err != nil {
			f.Fatal(err)
		}
		changes, err := f.work.Changes()
		if err != nil {
			f.Fatal(err)
		}
		var got []string
		for _, c := range changes {
			got = append(got, string(c.Kind)+" "+c.Path)
		}
		f.want("changes", strings.Join(got, ", "), "A dir/fifo, A dir/forged, A dir/link")
	}},
	{"project/owner", func(f *fixture) {
		// What is made inside belongs, on disk, to whom the project belongs.
		f.ok("write", filepath.Join(f.project, "new"), "")
		if err := f.sandbox().Destroy(context.Background()); err != nil {
			f.Fatal(err)
		}
		owner, group := ownerOf(f, f.project)
		u, g := ownerOf(f, filepath.Join(f.spec.Layers, sandbox.LayerUpper, "new"))
		f.want("owner", [2]int{u, g}, [2]int{owner, group})
	}},
	{"project/foreign owner", func(f *fixture) {
		testenv.Require(f.T, "root")
		for _, path := range []string{f.project, filepath.Join(f.project, "file")} {
			if err := os.Chown(path, 1234, 2345); err != nil {
				f.Fatal(err)
			}
		}
		f.remakeWorkspace()
		f.want("ids", f.ok("ids"), "1234 2345\n")
		f.ok("write", filepath.Join(f.project, "file"), "changed")
		u, g := ownerOf(f, filepath.Join(f.spec.Layers, sandbox.LayerUpper, "file"))
		f.want("owner", [2]int{u, g}, [2]int{1234, 2345})
	}},
	{"project/owner beyond 65535", func(f *fixture) {
		testenv.Require(f.T, "root")
		if err := os.Chown(f.project, 3000000, 3000001); err != nil {
			f.Fatal(err)
		}
		f.remakeWorkspace()
		f.want("ids", f.ok("ids"), "3000000 3000001\n")
		f.ok("write", filepath.Join(f.project, "new"), "")
		u, g := ownerOf(f, filepath.Join(f.spec.Layers, sandbox.LayerUpper, "new"))
		f.want("owner", [2]int{u, g}, [2]int{3000000, 3000001})
	}},
	{"project/none", func(f *fixture) {
		f.spec.Project, f.spec.Layers = "", ""
		c := f.cmd("cwd")
		c.Dir = f.spec.User.Home
		f.want("cwd", f.run(c).stdout, "/home/tester\n")
	}},
	{"project/read-only file and directory", func(f *fixture) {
		f.mount(sandbox.Mount{Source: filepath.Dir(f.write("ro/file", "given")), Mode: sandbox.MountReadOnly})
		f.mount(sandbox.Mount{Source: f.write("alone", "one file"), Mode: sandbox.MountReadOnly})
		f.want("directory", f.ok("read", filepath.Join(f.dir, "ro/file")), "given")
		f.want("file", f.ok("read", filepath.Join(f.dir, "alone")), "one file")
	}},
	{"project/shared directory", func(f *fixture) {
		dir := filepath.Dir(f.write("cache/old", "old"))
		f.share(dir)
		f.ok("write", filepath.Join(dir, "new"), "new")
		f.ok("write", filepath.Join(dir, "old"), "changed")
		f.want("inside", f.ok("read", filepath.Join(dir, "old")), "changed")
		if err := f.sandbox().Destroy(context.Background()); err != nil {
			f.Fatal(err)
		}
		text, _ := os.ReadFile(filepath.Join(dir, "old"))
		f.want("on the host", string(text), "old")
		_, err := os.Stat(filepath.Join(dir, "new"))
		f.want("new file is not on the host", os.IsNotExist(err), true)
	}},
	{"project/directories between home and what is shown are the program's", func(f *fixture) {
		f.spec.User.Home = f.dir
		f.share(filepath.Dir(f.write(".cache/tool/x", "x")))
		f.ok("write", filepath.Join(f.dir, ".cache", "new"), "")
		f.ok("write", filepath.Join(f.dir, "new"), "")
		f.ok("write", filepath.Join(f.dir, ".cache", "tool", "new"), "")
	}},
	{"project/home and temporary directories", func(f *fixture) {
		f.want("home", f.ok("ls", "/home/tester"), ".gitconfig\n")
		f.want("gitconfig", strings.Contains(f.ok("read", "/home/tester/.gitconfig"), "t@example.org"), true)
		for _, dir := range []string{"/home/tester", "/tmp", "/var/tmp", "/dev/shm"} {
			f.ok("write", dir+"/x", "x")
		}
	}},
	{"project/root is not writable", func(f *fixture) {
		for _, path := range []string{"/x", "/etc/x", "/usr/x", "/run/x", "/dev/x", "/etc/passwd"} {
			if o := f.run(f.cmd("write", path, "")); o.exit.Code == 0 {
				f.Errorf("wrote %s", path)
			}
		}
	}},
	{"project/names of users", func(f *fixture) {
		passwd := f.ok("read", "/etc/passwd")
		uid := strings.Fields(f.ok("ids"))[0]
		if !strings.Contains(passwd, "tester:x:"+uid+":") {
			f.Errorf("uid %s has no name in:\n%s", uid, passwd)
		}
	}},
}

// statusLine returns a line of a process's or thread's status.
func statusLine(f *fixture, dir, key string) string {
	f.Helper()
	raw, err := os.ReadFile(dir + "/status")
	if err != nil {
		f.Fatal(err)
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	f.Fatalf("%s has no %s", dir, key)
	return ""
}

// remakeWorkspace makes the layers anew after the project's owner has changed.
func (f *fixture) remakeWorkspace() {
	f.Helper()
	if err := f.work.Remove(); err != nil {
		f.Fatal(err)
	}
	store, err := workspace.Open(f.dir)
	if err == nil {
		f.work, err = store.Create(workspace.Create{ID: sandbox.NewID(), Project: f.project, Shares: map[int]string{}})
	}
	if err != nil {
		f.Fatal(err)
	}
	f.spec.Layers = f.work.LayersDir()
}
