package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ringwall/ringwall/internal/sandbox"
)

func TestInside(t *testing.T) {
	for _, c := range []struct {
		uid                      int
		name, home               string
		wantName, wantHome, what string
	}{
		{1000, "alice", "/home/alice", "alice", "/home/alice", "an ordinary user"},
		{0, "root", "/root", "user", "/root", "root is not root inside"},
		{5, "games", "/usr/games", "games", "/home/games", "a home among the system's directories"},
		{7, "", "", "user", "/home/user", "a user of nowhere"},
		{7, "a b:c", "/home/x", "user", "/home/x", "a name that passwd(5) cannot hold"},
		{7, "svc", "/", "svc", "/home/svc", "no home"},
	} {
		if name, home := inside(c.uid, c.name, c.home); name != c.wantName || home != c.wantHome {
			t.Errorf("%s: %q %q, want %q %q", c.what, name, home, c.wantName, c.wantHome)
		}
	}
}

func TestParseGitUser(t *testing.T) {
	name, email := parseGitUser("[core]\n name = no\n[user] \n\tname = \"Ann \\\"B\\\" C\" ; who\n\tEmail=a@b.example # x\n[user \"sub\"]\nname = no\n")
	if name != `Ann "B" C` || email != "a@b.example" {
		t.Errorf("parseGitUser = %q, %q", name, email)
	}
}

func FuzzParseGitUser(f *testing.F) {
	f.Add("[user]\nname = \"x\\")
	f.Fuzz(func(t *testing.T, s string) { parseGitUser(s) })
}

func TestEnsureRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	os.WriteFile(file, nil, 0o600)
	link := filepath.Join(dir, "link")
	os.Symlink(t.TempDir(), link)
	for _, path := range []string{file, link, filepath.Join(file, "below")} {
		if _, err := ensure(path, "RINGWALL_TEST_UNSET"); sandbox.CodeOf(err) != sandbox.CodeDenied || sandbox.HintOf(err) == "" {
			t.Errorf("ensure(%s) = %v, want a refusal with a hint", path, err)
		}
	}
	open := filepath.Join(dir, "open")
	os.Mkdir(open, 0o755)
	if _, err := ensure(open, "RINGWALL_TEST_UNSET"); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(open); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want 0700", info.Mode())
	}
}
