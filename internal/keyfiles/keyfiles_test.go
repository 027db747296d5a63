package keyfiles

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func testTree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const key = "-----BEGIN OPENSSH PRIVATE KEY-----\n"

func TestFind(t *testing.T) {
	hidden := map[string]string{
		".env": "", ".ENV": "", ".env.local": "", "prod.env": "", "a/b/.env.production": "", ".envrc": "",
		"id_rsa": key, "keys/id_mine": key, "server.key": "-----BEGIN PRIVATE KEY-----", "certs/both.pem": "-----BEGIN CERTIFICATE-----\n-----BEGIN RSA PRIVATE KEY-----",
		"store.jks": "", "a.p12": "", "pass.KDBX": "", ".npmrc": "", "x/.netrc": "", ".git-credentials": "",
		".docker/config.json": "", ".aws/credentials": "", ".kube/config": "", ".cargo/credentials.toml": "",
		"service-account-prod.json": `{"private_key": ""}`, "client_secret_1.json": `{"client_secret": ""}`,
		"infra/terraform.tfstate": "", "infra/prod.tfvars": "", ".git/modules/x/.env": "",
	}
	shown := map[string]string{
		".env.example": "", ".env.local.sample": "", "env": "", "a.env.go": "", "id_rsa.pub": key, "id_generator.go": "package x", "ident.go": key,
		"cert.pem": "-----BEGIN CERTIFICATE-----", "pub.pem": "-----BEGIN PUBLIC KEY-----", "monkey": "", "a.key": "x",
		"config.json": "", "config": "", "credentials": "", "credentials.json": "{}", "package.json": "",
		"node_modules/x/.env": "", "venv/x.pem": key, ".git/objects/ab/id_rsa": key, "README.md": key,
	}
	all := map[string]string{}
	for _, m := range []map[string]string{hidden, shown} {
		for k, v := range m {
			all[k] = v
		}
	}
	dir := testTree(t, all)
	for name, link := range map[string]string{".env.link": "README.md", "loop": ".", "id_dsa": "/etc/passwd"} {
		if err := os.Symlink(link, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "id_fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.MkdirAll(filepath.Join(dir, "home", ".ssh", "deep"), 0o700)
	found, err := Find(context.Background(), dir, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, f := range found {
		got = append(got, f.Path)
		if f.Why == "" {
			t.Errorf("%s has no reason", f.Path)
		}
	}
	for name := range hidden {
		want = append(want, name)
	}
	want = append(want, "home/.ssh")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if _, err := Find(context.Background(), dir, 3); !errors.Is(err, ErrTooMany) {
		t.Errorf("more than there may be: %v", err)
	}
	if _, err := Find(context.Background(), filepath.Join(dir, "nothing"), 3); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Find(ctx, dir, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestEveryRuleIsACandidate(t *testing.T) {
	for _, r := range rules {
		for _, n := range r.names {
			if got, ok := ruleFor(r.under, n); !ok || got.why == "" {
				t.Errorf("%s below %q is not found", n, r.under)
			}
			if _, ok := ruleFor(strings.ToUpper(r.under), strings.ToUpper(n)); !ok {
				t.Errorf("%s in capitals is not found", n)
			}
		}
	}
	for _, s := range bySuffix {
		if _, ok := ruleFor("", "x"+s.suffix); !ok {
			t.Errorf("x%s is not found", s.suffix)
		}
	}
}

// A tree that is deeper than what is searched is hidden from there on.
func TestDeepTree(t *testing.T) {
	dir := t.TempDir()
	path := dir
	for range deepest + 5 {
		path = filepath.Join(path, "d")
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	found, err := Find(context.Background(), dir, 10)
	if err != nil || len(found) != 1 || strings.Count(found[0].Path, "d") != deepest+1 {
		t.Errorf("%v, %v", found, err)
	}
}

func FuzzRuleFor(f *testing.F) {
	f.Add("", ".env")
	f.Add(".aws", "credentials")
	f.Fuzz(func(t *testing.T, parent, name string) {
		if name != "" {
			ruleFor(parent, name)
		}
	})
}

func FuzzNext(f *testing.F) {
	f.Add([]byte("12345678abcdefgh\x18\x00\x08name\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for n := 0; len(b) > 0; n++ {
			_, _, rest := next(b)
			if len(rest) >= len(b) {
				t.Fatal("no progress")
			}
			b = rest
		}
	})
}

func BenchmarkFind(b *testing.B) {
	files := map[string]string{}
	for d := range 1000 {
		for i := range 10 {
			files[fmt.Sprintf("dir%d/sub/file%d.go", d, i)] = ""
		}
	}
	dir := testTree(b, files)
	for b.Loop() {
		if _, err := Find(context.Background(), dir, 10); err != nil {
			b.Fatal(err)
		}
	}
}
