// Package host says who runs Ringwall and where on this host Ringwall keeps things.
package host

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// SystemDirs are the host's own directories: no project and no home lies in them.
var SystemDirs = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/opt",
	"/proc", "/run", "/sbin", "/sys", "/usr", "/var"}

// shownDirs are those of them that every sandbox shows.
var shownDirs = []string{"/bin", "/gnu/store", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/opt", "/sbin", "/usr"}

// Caller returns the user who runs this process.
func Caller() sandbox.User {
	u := sandbox.User{UID: os.Geteuid(), GID: os.Getegid()}
	var home string
	u.Name, home = lookUp(u.UID)
	if env := os.Getenv("HOME"); filepath.IsAbs(env) {
		home = filepath.Clean(env)
	}
	u.GitName, u.GitEmail = gitUser(home)
	u.Name, u.Home = inside(u.UID, u.Name, home)
	return u
}

// inside returns the name and home under which the caller appears in a sandbox: root
// is not root there, and a home among the system's directories could not be empty.
func inside(uid int, name, home string) (string, string) {
	if uid == 0 || !isPlainName(name) {
		name = "user"
	}
	if home == "" || home == "/" || Below(home, append([]string{"/gnu"}, SystemDirs...)...) {
		home = "/home/" + name
	}
	return name, home
}

// isPlainName reports whether s can stand in passwd(5) and in a path.
func isPlainName(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c == '_'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 32
}

// Below reports whether path is one of dirs or lies in one. All are clean.
func Below(path string, dirs ...string) bool {
	for _, d := range dirs {
		if path == d || d == "/" || strings.HasPrefix(path, d+"/") {
			return true
		}
	}
	return false
}

// Shown reports whether every sandbox shows path.
func Shown(path string) bool { return Below(path, shownDirs...) }

// lookUp finds uid in /etc/passwd. Users of directory services are not there; they
// have HOME.
func lookUp(uid int) (name, home string) {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return "", ""
	}
	defer f.Close()
	want := strconv.Itoa(uid)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Split(lines.Text(), ":"); len(fields) >= 6 && fields[2] == want {
			return fields[0], fields[5]
		}
	}
	return "", ""
}
