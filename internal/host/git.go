package host

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
)

// gitUser returns user.name and user.email of the caller's git configuration. Only
// the two files of git-config(1) that belong to the user are read, includes are not
// followed and git is never run: its configuration can name programs.
func gitUser(home string) (name, email string) {
	xdg := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(xdg) {
		xdg = filepath.Join(home, ".config")
	}
	for _, path := range []string{filepath.Join(xdg, "git", "config"), filepath.Join(home, ".gitconfig")} {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		n, e := parseGitUser(string(raw))
		if n != "" {
			name = n
		}
		if e != "" {
			email = e
		}
	}
	return name, email
}

// parseGitUser reads the [user] section of a git configuration.
func parseGitUser(text string) (name, email string) {
	in := false
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			section, _, _ := strings.Cut(line[1:], "]")
			in = strings.EqualFold(strings.TrimSpace(section), "user")
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !in || !ok {
			continue
		}
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "name":
			name = gitValue(value)
		case "email":
			email = gitValue(value)
		}
	}
	return name, email
}

// gitValue takes quotes, escapes and a trailing comment off a value.
func gitValue(s string) string {
	var b strings.Builder
	quoted, escaped := false, false
	for _, c := range strings.TrimSpace(s) {
		switch {
		case escaped:
			escaped = false
			b.WriteRune(c)
		case c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '#' || c == ';'):
			return strings.TrimSpace(b.String())
		default:
			b.WriteRune(c)
		}
	}
	return strings.TrimSpace(b.String())
}
