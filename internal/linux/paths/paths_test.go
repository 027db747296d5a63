package paths

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenBeneathFollowsNothing(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	os.WriteFile(secret, []byte("s"), 0o600)
	os.MkdirAll(filepath.Join(dir, "a"), 0o700)
	os.WriteFile(filepath.Join(dir, "a", "f"), []byte("f"), 0o600)
	os.Symlink(secret, filepath.Join(dir, "link"))
	os.Symlink("a", filepath.Join(dir, "inner"))
	unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600)
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if f, err := OpenRegular(int(root.Fd()), "a/f"); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
	for _, name := range []string{"link", "inner/f", "../" + filepath.Base(dir) + "/a/f", secret, "fifo", "a"} {
		if f, err := OpenRegular(int(root.Fd()), name); err == nil {
			f.Close()
			t.Errorf("opened %s", name)
		}
	}
	if target, err := Readlink(int(root.Fd()), "link"); err != nil || target != secret {
		t.Errorf("Readlink = %q, %v", target, err)
	}
}

func TestRemoveAll(t *testing.T) {
	dir := t.TempDir()
	outside := t.TempDir()
	os.WriteFile(filepath.Join(outside, "kept"), nil, 0o600)
	tree := filepath.Join(dir, "tree")
	os.MkdirAll(filepath.Join(tree, "locked", "below"), 0o700)
	os.WriteFile(filepath.Join(tree, "locked", "file"), nil, 0o000)
	os.Symlink(outside, filepath.Join(tree, "link"))
	os.Chmod(filepath.Join(tree, "locked"), 0)
	for i := range 3000 {
		os.WriteFile(filepath.Join(tree, "f"+strings.Repeat("x", i%200)+string(rune('a'+i%26))+filepath.Base(dir)+strconv.Itoa(i)), nil, 0o600)
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := RemoveAll(int(root.Fd()), "tree"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(tree); !os.IsNotExist(err) {
		t.Errorf("tree is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(outside, "kept")); err != nil {
		t.Errorf("RemoveAll followed a link: %v", err)
	}
	if err := RemoveAll(int(root.Fd()), "tree"); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// TestRemoveAllDeep removes a tree that is deeper than any path may be long.
func TestRemoveAllDeep(t *testing.T) {
	dir := t.TempDir()
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	at, err := unix.Dup(int(root.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = 64 // descriptors: far fewer than levels
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	name := strings.Repeat("d", 200)
	for range 2000 { // 400,000 bytes of path
		if err := unix.Mkdirat(at, name, 0o700); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(at)
		if err != nil {
			t.Fatal(err)
		}
		at = next
	}
	unix.Close(at)
	if err := RemoveAll(int(root.Fd()), name); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
