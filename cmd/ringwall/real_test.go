package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/internal/testenv"
)

// side runs commands in dir, inside a sandbox or outside, and returns what they print.
type side struct {
	*testing.T
	dir    string
	env    []string
	prefix []string // ringwall run … --
}

func (s side) run(args ...string) string {
	s.Helper()
	all := append(append([]string{}, s.prefix...), args...)
	cmd := exec.Command(all[0], all[1:]...)
	cmd.Dir, cmd.Env = s.dir, s.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.Fatalf("%q: %v\n%s%s", all, err, out, stderr.String())
	}
	return string(out)
}

// both returns the two sides over two copies that make made of the same project.
func both(t *testing.T, make func(dir string), flags ...string) (inside, outside side) {
	t.Helper()
	dir := testenv.Dir(t)
	env := append(os.Environ(), "HOME="+filepath.Join(dir, "home"), "RINGWALL_STATE_DIR="+filepath.Join(dir, "state"),
		"RINGWALL_RUNTIME_DIR="+filepath.Join(dir, "run"))
	if err := os.Mkdir(filepath.Join(dir, "home"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // what overlayfs left is closed even to its owner
		exec.Command("chmod", "-R", "u+rwx", dir).Run()
	})
	in, out := filepath.Join(dir, "in", "project"), filepath.Join(dir, "out", "project")
	make(in)
	make(out)
	prefix := append(append([]string{"ringwall", "run", "--discard"}, flags...), "--")
	return side{t, in, env, prefix}, side{t, out, env, nil}
}

var timing = regexp.MustCompile(`\(?\d+\.\d+m?s\)?|\(cached\)`)

// TestRealGoModule builds and tests a module from the module proxy.
func TestRealGoModule(t *testing.T) {
	testenv.Require(t, "go")
	goEnv := func(key string) string {
		out, err := exec.Command("go", "env", key).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	source, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/go-cmp").Output()
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{"--env", "GOFLAGS=-buildvcs=false", "--env", "GOPROXY=off", "--env", "GOTOOLCHAIN=local",
		"--env", "GOMODCACHE=" + goEnv("GOMODCACHE"), "--env", "GOCACHE=" + goEnv("GOCACHE"),
		"--share", goEnv("GOMODCACHE"), "--share", goEnv("GOCACHE"), "--ro", goEnv("GOROOT")}
	inside, outside := both(t, func(dir string) {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-r", "--no-preserve=mode", strings.TrimSpace(string(source)), dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}, flags...)
	outside.env = append(outside.env, "GOFLAGS=-buildvcs=false", "GOPROXY=off", "GOTOOLCHAIN=local",
		"GOMODCACHE="+goEnv("GOMODCACHE"), "GOCACHE="+goEnv("GOCACHE"))
	for _, args := range [][]string{{"go", "build", "./..."}, {"go", "test", "-count=1", "./cmp/..."}} {
		in, out := timing.ReplaceAllString(inside.run(args...), ""), timing.ReplaceAllString(outside.run(args...), "")
		if in != out {
			t.Errorf("%q inside:\n%s\noutside:\n%s", args, in, out)
		}
	}
}

// TestRealGit works on a clone of this repository.
func TestRealGit(t *testing.T) {
	testenv.Require(t, "git")
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(top, ".git")); err != nil {
		testenv.Missing(t, "checkout", "these sources are not a git checkout")
	}
	dates := []string{"GIT_AUTHOR_DATE=2020-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2020-01-01T00:00:00Z"}
	inside, outside := both(t, func(dir string) {
		cmd := exec.Command("git", "-c", "safe.directory=*", "clone", "-q", "--no-hardlinks", top, dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}, "--env", dates[0], "--env", dates[1])
	outside.env = append(outside.env, dates...)
	config := "[user]\n\tname = T\n\temail = t@example.org\n"
	if err := os.WriteFile(filepath.Join(filepath.Dir(filepath.Dir(inside.dir)), "home", ".gitconfig"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	before := outside.run("git", "-C", inside.dir, "log", "--format=%H", "-1")
	script := `git status --porcelain && git log --oneline | head -n 5 && echo more >> LICENSE && git status --porcelain &&
		git commit -qam 'a change' && git log --format='%H %an %ae %s' -n 2 && git status --porcelain && git fsck --no-progress && git gc -q && git log --oneline | wc -l`
	in, out := inside.run("sh", "-c", script), outside.run("sh", "-c", script)
	if in != out || !strings.Contains(in, "T t@example.org a change") {
		t.Errorf("inside:\n%s\noutside:\n%s", in, out)
	}
	if after := (side{T: t, dir: inside.dir, env: inside.env}).run("git", "log", "--format=%H", "-1"); after != before {
		t.Errorf("the commit reached the host: %s, was %s", after, before)
	}
}

// TestRealPython uses processes, semaphores and shared memory.
func TestRealPython(t *testing.T) {
	testenv.Require(t, "python3")
	const program = `
import multiprocessing, multiprocessing.shared_memory, os, sqlite3, subprocess, tempfile

def square(n):
    return n * n

if __name__ == "__main__":
    with multiprocessing.Pool(4) as pool:
        print(sum(pool.map(square, range(1000))))
    lock, queue = multiprocessing.Lock(), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=queue.put, args=(i,)) for i in range(5)]
    [w.start() for w in workers]
    print(sorted(queue.get() for _ in workers))
    [w.join() for w in workers]
    block = multiprocessing.shared_memory.SharedMemory(create=True, size=1 << 20)
    block.buf[:3] = b"abc"
    print(bytes(block.buf[:3]))
    block.close(); block.unlink()
    with tempfile.NamedTemporaryFile() as f:
        db = sqlite3.connect(f.name)
        db.execute("create table t (x)"); db.execute("insert into t values (42)"); db.commit()
        print(db.execute("select * from t").fetchone())
    print(subprocess.run(["sh", "-c", "echo from a child"], capture_output=True, text=True).stdout, end="")
`
	inside, outside := both(t, func(dir string) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "program.py"), []byte(program), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	in, out := inside.run("/usr/bin/python3", "program.py"), outside.run("/usr/bin/python3", "program.py")
	if in != out {
		t.Errorf("inside:\n%s\noutside:\n%s", in, out)
	}
}
