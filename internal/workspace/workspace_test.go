package workspace

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// testWorkspace returns a workspace over a project with some files. The upper layer
// is then written by hand as overlayfs would.
func testWorkspace(t *testing.T) (w *Workspace, project, upper string) {
	t.Helper()
	state := t.TempDir()
	project = filepath.Join(state, "project")
	for name, text := range map[string]string{"a": "one", "dir/b": "two", "dir/c": "three", "gone/d": "four", "gone/e": "five"} {
		testWrite(t, filepath.Join(project, name), text)
	}
	if err := os.Symlink("a", filepath.Join(project, "link")); err != nil {
		t.Fatal(err)
	}
	s, err := Open(state)
	if err != nil {
		t.Fatal(err)
	}
	w, err = s.Create(Create{ID: sandbox.NewID(), Project: project, Command: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	return w, project, filepath.Join(w.LayersDir(), sandbox.LayerUpper)
}

func testWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// testWhiteout marks dir/name as deleted in the form that any user can make.
func testWhiteout(t *testing.T, dir, name string) {
	t.Helper()
	testWrite(t, filepath.Join(dir, name), "")
	testXattr(t, filepath.Join(dir, name), "user.overlay.whiteout", "")
	testXattr(t, dir, "user.overlay.opaque", "x")
}

func testXattr(t *testing.T, path, name, value string) {
	t.Helper()
	if err := unix.Setxattr(path, name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

func lines(changes []Change) (out []string) {
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%c %q", c.Kind, c.Path))
	}
	return out
}

func TestChanges(t *testing.T) {
	for _, c := range []struct {
		what string
		edit func(t *testing.T, upper string)
		want []string
	}{
		{"nothing", func(*testing.T, string) {}, nil},
		{"copied up, not changed", func(t *testing.T, u string) {
			testWrite(t, filepath.Join(u, "a"), "one")
			testWrite(t, filepath.Join(u, "dir", "b"), "two")
			os.Symlink("a", filepath.Join(u, "link"))
		}, nil},
		{"added, modified", func(t *testing.T, u string) {
			testWrite(t, filepath.Join(u, "a"), "eno")
			testWrite(t, filepath.Join(u, "new", "deep", "f"), "")
			os.MkdirAll(filepath.Join(u, "dir", "empty"), 0o755)
		}, []string{`M "a"`, `A "dir/empty"`, `A "new/deep/f"`}},
		{"permissions", func(t *testing.T, u string) {
			testWrite(t, filepath.Join(u, "a"), "one")
			os.Chmod(filepath.Join(u, "a"), 0o755)
			os.Mkdir(filepath.Join(u, "dir"), 0o700)
		}, []string{`M "a"`, `M "dir"`}},
		{"deleted", func(t *testing.T, u string) {
			testWhiteout(t, u, "gone")
			testWhiteout(t, filepath.Join(u, "dir"), "b")
			testWhiteout(t, filepath.Join(u, "dir"), "never-was")
		}, []string{`D "dir/b"`, `D "gone"`}},
		{"directory made anew", func(t *testing.T, u string) {
			testWrite(t, filepath.Join(u, "gone", "d"), "four") // as it was
			testWrite(t, filepath.Join(u, "gone", "x"), "")
			testXattr(t, filepath.Join(u, "gone"), "user.overlay.opaque", "y")
		}, []string{`D "gone/e"`, `A "gone/x"`}},
		{"kinds swapped", func(t *testing.T, u string) {
			testWrite(t, filepath.Join(u, "link", "x"), "") // was a link
			os.Symlink("/etc/shadow", filepath.Join(u, "a"))
			unix.Mkfifo(filepath.Join(u, "dir"), 0o644) // was a directory
		}, []string{`M "a"`, `M "dir"`, `M "link"`, `A "link/x"`}},
		{"hostile names", func(t *testing.T, u string) {
			for _, n := range []string{"new\nline", "\x1b[2J", "\xff\xfe", "‮gpj", " ", "-rf"} {
				testWrite(t, filepath.Join(u, n), "")
			}
		}, []string{`A "\x1b[2J"`, `A " "`, `A "-rf"`, `A "new\nline"`, `A "\u202egpj"`, `A "\xff\xfe"`}},
		{"closed directory", func(t *testing.T, u string) {
			testWrite(t, filepath.Join(u, "new", "f"), "x")
			os.Chmod(filepath.Join(u, "new", "f"), 0)
			os.Chmod(filepath.Join(u, "new"), 0)
		}, []string{`A "new/f"`}},
	} {
		t.Run(c.what, func(t *testing.T) {
			w, _, upper := testWorkspace(t)
			c.edit(t, upper)
			changes, err := w.Changes()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, lines(changes)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if err := w.Remove(); err != nil {
				t.Errorf("Remove: %v", err)
			}
		})
	}
}

// TestChangesFollowsNoLink swaps a project directory for a link to a secret: the
// comparison must not look behind it.
func TestChangesFollowsNoLink(t *testing.T) {
	w, project, upper := testWorkspace(t)
	secret := t.TempDir()
	testWrite(t, filepath.Join(secret, "b"), "two")
	testWrite(t, filepath.Join(upper, "dir", "b"), "two")
	if err := os.RemoveAll(filepath.Join(project, "dir")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(project, "dir")); err != nil {
		t.Fatal(err)
	}
	changes, err := w.Changes()
	if err != nil {
		t.Fatal(err)
	}
	// Had the link been followed, dir/b would be the same file and no change.
	if d := cmp.Diff([]string{`M "dir"`, `A "dir/b"`}, lines(changes)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// A tree that is deeper than we have descriptors is one change, and can be removed.
func TestDeepTree(t *testing.T) {
	w, _, upper := testWorkspace(t)
	at, err := unix.Open(upper, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 * deepest {
		err := unix.Mkdirat(at, "d", 0o755)
		next := -1
		if err == nil {
			next, err = unix.Openat(at, "d", unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
		unix.Close(at)
		if at = next; err != nil {
			t.Fatal(err)
		}
	}
	unix.Close(at)
	changes, err := w.Changes()
	if err != nil || len(changes) != 1 || changes[0].Kind != Added || strings.Count(changes[0].Path, "d") != deepest+1 {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	if err := w.Export(io.Discard); sandbox.CodeOf(err) != sandbox.CodeRefused || len(err.Error()) > 200 {
		t.Errorf("Export = %v, want a short refusal", err)
	}
	if err := w.Remove(); err != nil {
		t.Fatal(err)
	}
}

func TestExport(t *testing.T) {
	w, _, upper := testWorkspace(t)
	testWrite(t, filepath.Join(upper, "new"), "text")
	os.Chmod(filepath.Join(upper, "new"), 0o755|fs.ModeSetuid)
	os.Symlink("../../etc/passwd", filepath.Join(upper, "l"))
	testWhiteout(t, filepath.Join(upper, "dir"), "b")
	testWrite(t, filepath.Join(upper, "gone", "x"), "")
	testXattr(t, filepath.Join(upper, "gone"), "user.overlay.opaque", "y")
	var buf bytes.Buffer
	if err := w.Export(&buf); err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(&buf); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r)
		got = append(got, fmt.Sprintf("%c %o %s %s%s", h.Typeflag, h.Mode, h.Name, h.Linkname, body))
	}
	want := []string{"5 755 dir/ ", "0 0 dir/.wh.b ", "5 755 gone/ ", "0 0 gone/.wh..wh..opq ", "0 644 gone/x ", "2 777 l ../../etc/passwd", "0 755 new text"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestExportRefusesForgedWhiteout(t *testing.T) {
	w, _, upper := testWorkspace(t)
	testWrite(t, filepath.Join(upper, ".wh.a"), "")
	if err := w.Export(io.Discard); sandbox.CodeOf(err) != sandbox.CodeRefused || !strings.Contains(err.Error(), ".wh.a") {
		t.Errorf("Export = %v, want a refusal that names the file", err)
	}
}

func TestRecover(t *testing.T) {
	w, _, _ := testWorkspace(t)
	s := &Store{dir: filepath.Dir(w.dir)}
	if kept, err := s.Recover(w.ID()); kept || err != nil {
		t.Fatalf("Recover of a live one = %v, %v", kept, err)
	}
	if all, err := s.List(); err != nil || len(all) != 1 {
		t.Fatalf("a live workspace was taken away: %v, %v", all, err)
	}
	w.Close() // as if its owner had died
	if kept, err := s.Recover(w.ID()); kept || err != nil {
		t.Fatalf("Recover without changes = %v, %v", kept, err)
	}
	if all, err := s.List(); err != nil || len(all) != 0 {
		t.Fatalf("List = %v, %v; want none", all, err)
	}
	if _, err := s.Recover(w.ID()); err != nil {
		t.Errorf("Recover of nothing: %v", err)
	}
	w, _, upper := testWorkspace(t)
	s = &Store{dir: filepath.Dir(w.dir)}
	testWrite(t, filepath.Join(upper, "a"), "changed")
	w.Close()
	for range 2 { // idempotent
		if kept, err := s.Recover(w.ID()); !kept || err != nil {
			t.Fatalf("Recover with changes = %v, %v", kept, err)
		}
	}
	all, err := s.List()
	if err != nil || len(all) != 1 || all[0].State != StateKept || all[0].Modified != 1 {
		t.Errorf("List = %+v, %v", all, err)
	}
	if _, err := s.Recover("../../etc/pass"); err == nil {
		t.Error("Recover took a path for an id")
	}
}

// An owner that was killed while it made the workspace leaves any part of it.
func TestRecoverHalfMade(t *testing.T) {
	state := t.TempDir()
	s, err := Open(state)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"no record": "", "a torn record": `{"schema":"ring`} {
		id := sandbox.NewID()
		if err := os.Mkdir(filepath.Join(s.dir, id), 0o700); err != nil {
			t.Fatal(err)
		}
		if text != "" {
			testWrite(t, filepath.Join(s.dir, id, recordName), text)
		}
		if kept, err := s.Recover(id); kept || err != nil {
			t.Errorf("%s: %v, %v", what, kept, err)
		}
		if _, err := os.Lstat(filepath.Join(s.dir, id)); !os.IsNotExist(err) {
			t.Errorf("%s: still there", what)
		}
	}
}

func TestListReportsBrokenRecords(t *testing.T) {
	w, _, _ := testWorkspace(t)
	path := filepath.Join(w.dir, recordName)
	for _, text := range []string{"{", `{"schema":"ringwall.workspace/99"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if all, err := (&Store{dir: filepath.Dir(w.dir)}).List(); err == nil || !strings.Contains(err.Error(), path) || len(all) != 0 {
			t.Errorf("List over %q = %v, %v; want an error that names the file", text, all, err)
		}
	}
}

func BenchmarkCreateRemove(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	project := b.TempDir()
	for b.Loop() {
		w, err := s.Create(Create{ID: sandbox.NewID(), Project: project, Command: []string{"true"}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Empty(); err != nil {
			b.Fatal(err)
		}
		if err := w.Remove(); err != nil {
			b.Fatal(err)
		}
	}
}
