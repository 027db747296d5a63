package workspace

import (
	"cmp"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/testenv"
)

// TestChangesOfRealOverlays makes random projects and edits them at random through an
// overlay of the kernel's. Changes, which sees only the layer, must find what a
// comparison of the two trees finds.
func TestChangesOfRealOverlays(t *testing.T) {
	testenv.Require(t, "root", "overlay")
	testMountNamespace(t)
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 7))
		w, project, merged, unmount := testOverlay(t, func(project string) {
			for range 12 {
				edit(rng, project)
			}
		})
		var log []string
		for range 1 + rng.IntN(15) {
			log = append(log, edit(rng, merged))
		}
		var want []Change
		compareTrees(t, project, merged, "", &want)
		slices.SortFunc(want, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
		unmount()
		got, err := w.Changes()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if d := gocmp.Diff(want, got); d != "" {
			t.Fatalf("seed %d: -want +got:\n%s\nafter:\n%s", seed, d, strings.Join(log, "\n"))
		}
		if err := w.Remove(); err != nil {
			t.Fatalf("seed %d: Remove: %v", seed, err)
		}
	}
}

// testMountNamespace gives the test a mount namespace of its own, which ends with it:
// the goroutine's thread is never handed back.
func testMountNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
}

// testOverlay mounts a workspace over a project that fill has filled.
func testOverlay(t *testing.T, fill func(project string)) (w *Workspace, project, merged string, unmount func()) {
	t.Helper()
	state := testenv.Dir(t)
	project, merged = filepath.Join(state, "project"), filepath.Join(state, "merged")
	for _, d := range []string{project, merged} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fill(project)
	s, err := Open(state)
	if err != nil {
		t.Fatal(err)
	}
	if w, err = s.Create(Create{ID: sandbox.NewID(), Project: project}); err != nil {
		t.Fatal(err)
	}
	data := fmt.Sprintf("userxattr,lowerdir=%s,upperdir=%s,workdir=%s", project, w.UpperDir(), filepath.Join(w.LayersDir(), sandbox.LayerWork))
	if err := unix.Mount("overlay", merged, "overlay", 0, data); err != nil {
		t.Fatalf("mount: %v", err)
	}
	return w, project, merged, func() {
		if err := unix.Unmount(merged, 0); err != nil {
			t.Fatalf("unmount: %v", err)
		}
	}
}

// edit does one random thing below root and says what. Few names and depths make it
// meet its own traces; whether the thing was possible does not matter.
func edit(rng *rand.Rand, root string) string {
	name := func() string {
		parts := []string{root}
		for range 1 + rng.IntN(3) {
			parts = append(parts, string("abc"[rng.IntN(3)]))
		}
		return filepath.Join(parts...)
	}
	perm := []fs.FileMode{0o600, 0o644, 0o755}[rng.IntN(3)]
	text := strings.Repeat("x", rng.IntN(3))
	a, b := name(), name()
	var did string
	var err error
	switch rng.IntN(11) {
	case 0, 1:
		did, err = "write "+a+" "+text, writeFile(a, text, perm)
	case 2, 3:
		did, err = "mkdir "+a, os.MkdirAll(a, 0o755)
	case 4:
		did, err = "remove "+a, removeAll(a)
	case 5:
		did, err = "chmod "+a+" "+perm.String(), os.Chmod(a, perm|0o700)
	case 6:
		did, err = "rename "+a+" "+b, os.Rename(a, b)
	case 7:
		did, err = "symlink "+a+" "+text, os.Symlink("to"+text, a)
	case 8:
		did, err = "mkfifo "+a, unix.Mkfifo(a, 0o644)
	case 9:
		did, err = "link "+a+" "+b, os.Link(a, b)
	case 10: // remade with the same directories in it, as after a clean checkout
		did, err = "remake "+a, removeAll(a)
		if err == nil {
			err = os.MkdirAll(filepath.Join(a, filepath.Base(b)), 0o755)
		}
	}
	return fmt.Sprintf("%s: %v", did, err)
}

// writeFile is os.WriteFile, which waits for the reader of a fifo.
func writeFile(path, text string, perm fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NONBLOCK, perm)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// removeAll is os.RemoveAll, which for "fifo/x" opens the fifo and waits for a writer.
func removeAll(path string) error {
	if _, err := os.Lstat(path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// compareTrees appends the differences between the directories old and now, both below
// path in their trees. It is the definition of Change without any layer.
func compareTrees(t *testing.T, old, now, path string, to *[]Change) {
	t.Helper()
	before, after := testEntries(t, old), testEntries(t, now)
	for name, st := range before {
		if _, ok := after[name]; !ok {
			*to = append(*to, Change{Deleted, join(path, name), fileMode(st.Mode), sizeOf(st)})
		}
	}
	for name, st := range after {
		was, had := before[name]
		oldPath, nowPath := filepath.Join(old, name), filepath.Join(now, name)
		isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
		wasDir := had && was.Mode&unix.S_IFMT == unix.S_IFDIR
		switch {
		case had && (was.Mode != st.Mode || testContent(t, oldPath, was) != testContent(t, nowPath, st)):
			*to = append(*to, Change{Modified, join(path, name), fileMode(st.Mode), sizeOf(st)})
		case !had && (!isDir || len(testEntries(t, nowPath)) == 0):
			*to = append(*to, Change{Added, join(path, name), fileMode(st.Mode), sizeOf(st)})
		}
		if isDir {
			if !wasDir {
				oldPath = "" // nothing was below it
			}
			compareTrees(t, oldPath, nowPath, join(path, name), to)
		}
	}
}

// testEntries stats the entries of dir, none for "".
func testEntries(t *testing.T, dir string) map[string]*unix.Stat_t {
	t.Helper()
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*unix.Stat_t{}
	for _, e := range entries {
		all[e.Name()] = new(unix.Stat_t)
		if err := unix.Lstat(filepath.Join(dir, e.Name()), all[e.Name()]); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func testContent(t *testing.T, path string, st *unix.Stat_t) string {
	t.Helper()
	var text string
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		var raw []byte
		raw, err = os.ReadFile(path)
		text = string(raw)
	case unix.S_IFLNK:
		text, err = os.Readlink(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}
