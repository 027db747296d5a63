package engine

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall/internal/sandbox"
)

func TestMoves(t *testing.T) {
	for from := planned; from <= gone; from++ {
		for to := planned; to <= gone; to++ {
			s := from
			err := s.move(to)
			if allowed := slices.Contains(moves[from], to); allowed != (err == nil) || allowed != (s == to && from != to) {
				t.Errorf("%v to %v: %v, now %v", from, to, err, s)
			}
		}
	}
	// Wherever a run stands, the table leads it to its end.
	for from := planned; from < gone; from++ {
		at, steps := from, 0
		for at != gone && len(moves[at]) > 0 && steps < 10 {
			at, steps = moves[at][len(moves[at])-1], steps+1
		}
		if at != gone {
			t.Errorf("from %v a run cannot end", from)
		}
	}
}

func TestUndoRunsBackwardsAndThroughErrors(t *testing.T) {
	var u undo
	var got []int
	for i := range 3 {
		u.add(func() error {
			got = append(got, i)
			if i == 1 {
				return os.ErrPermission
			}
			return nil
		})
	}
	if err := u.run(); !errors.Is(err, os.ErrPermission) {
		t.Errorf("run = %v, want the step's error", err)
	}
	if !slices.Equal(got, []int{2, 1, 0}) {
		t.Errorf("order %v", got)
	}
	if err := u.run(); err != nil || len(got) != 3 {
		t.Errorf("a second run: %v, %d steps", err, len(got)-3)
	}
}

func TestEnvironment(t *testing.T) {
	u := sandbox.User{Name: "ann", Home: "/home/ann"}
	caller := []string{"PATH=/a:.::relative:/b", "HOME=/root", "AWS_SECRET=x", "LC_ALL=C", "TERM=xterm", "TERM=late",
		"LD_PRELOAD=/evil.so", "SHELL=/home/ann/sh", "TMPDIR=/var/x", "SSH_AUTH_SOCK=/s"}
	got, err := environment(caller, u, false, []string{"AWS_SECRET", "HOME=/other", "EMPTY="})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"PATH=/a:/b", "HOME=/other", "USER=ann", "LOGNAME=ann", "SHELL=/bin/sh", "TMPDIR=/tmp", "RINGWALL=1",
		"TERM=late", "LC_ALL=C", "AWS_SECRET=x", "EMPTY="}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if got, _ := environment([]string{"PATH=/opt/x", "SHELL=/bin/bash"}, u, true, nil); got[0] != "PATH="+DefaultPath || !slices.Contains(got, "SHELL=/bin/sh") {
		t.Errorf("with a foreign root: %q", got)
	}
	if got, _ := environment(nil, u, false, nil); got[0] != "PATH="+DefaultPath {
		t.Errorf("without PATH: %s", got[0])
	}
	for _, bad := range []string{"", "=x", "NO_SUCH", "A\x00B=1"} {
		if _, err := environment(caller, u, false, []string{bad}); sandbox.CodeOf(err) != sandbox.CodeInvalid || sandbox.HintOf(err) == "" {
			t.Errorf("--env %q: %v", bad, err)
		}
	}
}

func TestToolRoot(t *testing.T) {
	for path, want := range map[string]string{
		"/home/ann/.nvm/versions/node/v20/bin/node": "/home/ann/.nvm/versions/node/v20",
		"/home/ann/.local/bin/pytest":               "/home/ann/.local/bin",
		"/home/ann/.cargo/bin/cargo":                "/home/ann/.cargo/bin",
		"/home/ann/bin/x":                           "/home/ann/bin",
		"/home/ann/x":                               "/home/ann",
		"/srv/tool/bin/x":                           "/srv/tool",
	} {
		if got := toolRoot(path, "/home/ann"); got != want {
			t.Errorf("toolRoot(%s) = %s, want %s", path, got, want)
		}
	}
}

func TestMountsAreOrderedAndMerged(t *testing.T) {
	dir := t.TempDir()
	outer, inner := filepath.Join(dir, "outer"), filepath.Join(dir, "outer", "inner")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(inner, link); err != nil {
		t.Fatal(err)
	}
	p := places{cwd: dir, home: "/home/none"}
	got, err := p.mounts([]sandbox.Mount{{Source: link, Mode: sandbox.MountReadOnly}, {Source: "outer", Mode: sandbox.MountThrowAway},
		{Source: inner, Mode: sandbox.MountReadOnly}})
	if err != nil {
		t.Fatal(err)
	}
	want := []sandbox.Mount{{Source: outer, Mode: sandbox.MountThrowAway}, {Source: inner, Mode: sandbox.MountReadOnly}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// Every refusal of a path says how to go on.
func TestRefusalsHaveHints(t *testing.T) {
	dir := t.TempDir()
	p := places{cwd: dir, home: dir, wall: []string{filepath.Join(dir, "state")}, hostRO: []string{"/usr"}}
	for _, name := range []string{"", "/", dir, "missing", "/usr", "/proc/self", "/dev/null"} {
		_, _, err := p.project(name)
		if err == nil || sandbox.HintOf(err) == "" || strings.Contains(err.Error(), "%!") {
			t.Errorf("project %q: %v (hint %q)", name, err, sandbox.HintOf(err))
		}
	}
}
