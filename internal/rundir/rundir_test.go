package rundir

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ringwall/ringwall/internal/sandbox"
)

func testRoot(t *testing.T) (*Root, string) {
	t.Helper()
	dir := t.TempDir()
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func testCreate(t *testing.T, r *Root) *Dir {
	t.Helper()
	d, err := r.Create(Record{ID: sandbox.NewID(), Backend: "ns", Command: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLiveUntilReleased(t *testing.T) {
	r, dir := testRoot(t)
	d := testCreate(t, r)
	all, err := r.List()
	if err != nil || len(all) != 1 || !all[0].Live || all[0].Record.Backend != "ns" {
		t.Fatalf("List = %+v, %v; want one live sandbox", all, err)
	}
	if refs, err := Refs(dir, "ns"); err != nil || len(refs) != 1 || refs[0].ID != d.ID() {
		t.Errorf("Refs = %+v, %v", refs, err)
	}
	if refs, _ := Refs(dir, "other"); len(refs) != 0 {
		t.Errorf("Refs of another backend = %+v", refs)
	}
	if dead, err := r.Dead(0); err != nil || len(dead) != 0 {
		t.Fatalf("Dead = %d, %v; want none", len(dead), err)
	}
	if err := d.Own(sandbox.Resource{Kind: sandbox.ResourceProcess, Name: "1", Start: 2}); err != nil {
		t.Fatal(err)
	}
	d.Release()
	dead, err := r.Dead(1)
	if err != nil || len(dead) != 1 {
		t.Fatalf("Dead after release = %d, %v; want one", len(dead), err)
	}
	if again, _ := r.Dead(0); len(again) != 0 {
		t.Error("two cleaners got the same sandbox")
	}
	owned, err := dead[0].Owned()
	if err != nil || len(owned) != 1 || owned[0].Start != 2 {
		t.Errorf("Owned = %+v, %v", owned, err)
	}
	if err := dead[0].Remove(); err != nil {
		t.Fatal(err)
	}
	if all, _ := r.List(); len(all) != 0 {
		t.Errorf("after Remove: %+v", all)
	}
}

func TestTornLineIsLeftOut(t *testing.T) {
	r, _ := testRoot(t)
	d := testCreate(t, r)
	defer d.Remove()
	if err := d.Own(sandbox.Resource{Kind: sandbox.ResourceCgroup, Name: "/a"}); err != nil {
		t.Fatal(err)
	}
	d.file.WriteString(`{"kind":"dir","na`)
	if owned, err := d.Owned(); err != nil || len(owned) != 1 || owned[0].Name != "/a" {
		t.Errorf("Owned = %+v, %v; want the whole line only", owned, err)
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	r, _ := testRoot(t)
	for _, name := range []string{"notes", "..evil", "aaaabbbbccc!"} {
		if err := os.Mkdir(filepath.Join(r.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if dead, err := r.Dead(0); err != nil || len(dead) != 0 {
		t.Fatalf("Dead = %v, %v", dead, err)
	}
	// A dead sandbox with a file that is not ours: reported, not removed.
	d := testCreate(t, r)
	stray := filepath.Join(d.Path(), "precious")
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(); err == nil {
		t.Error("Remove of a directory with a foreign file reported success")
	}
	if _, err := os.Stat(stray); err != nil {
		t.Error(err)
	}
}

func TestOwnerDiedBeforeLocking(t *testing.T) {
	r, _ := testRoot(t)
	if err := os.Mkdir(filepath.Join(r.dir, sandbox.NewID()), 0o700); err != nil {
		t.Fatal(err)
	}
	dead, err := r.Dead(0)
	if err != nil || len(dead) != 1 {
		t.Fatalf("Dead = %d, %v; want the directory without lock", len(dead), err)
	}
	if err := dead[0].Remove(); err != nil {
		t.Fatal(err)
	}
}
