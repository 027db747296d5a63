package procfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{0, 1, 16 << 10, 16<<10 + 1, 100_000} {
		text := strings.Repeat("x", size)
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadFile(unix.AT_FDCWD, path); err != nil || got != text {
			t.Errorf("%d bytes: %d, %v", size, len(got), err)
		}
	}
	if _, err := ReadFile(unix.AT_FDCWD, filepath.Join(dir, "nothing")); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
	if got, err := ReadFile(unix.AT_FDCWD, "/proc/self/mountinfo"); err != nil || !strings.HasSuffix(got, "\n") {
		t.Errorf("mountinfo: %d bytes, %v", len(got), err)
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{"": "", "/a": "/a", `/a\040b`: "/a b", `\011\012\134`: "\t\n\\", `/\134040`: `/\040`, `\04`: `\04`, `\9`: `\9`} {
		if got := Unescape(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzUnescape(f *testing.F) {
	f.Add(`\040\`)
	f.Fuzz(func(t *testing.T, s string) { Unescape(s) })
}
