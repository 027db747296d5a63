package engine

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ringwall/ringwall/internal/host"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// DefaultPath is the PATH of programs whose caller has none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// passed are the caller's variables that go inside as they are; so do all LC_*.
var passed = []string{"TERM", "COLORTERM", "NO_COLOR", "LANG", "TZ"}

// environment builds a program's environment. It is built, not inherited: keys and
// tokens of the caller stay out unless extra names them. extra has entries "K", the
// caller's own value, and "K=V". With a foreign root the caller's paths mean nothing inside.
func environment(caller []string, u sandbox.User, foreign bool, extra []string) ([]string, error) {
	get := func(key string) (string, bool) {
		for i := len(caller) - 1; i >= 0; i-- {
			if v, ok := strings.CutPrefix(caller[i], key+"="); ok {
				return v, true
			}
		}
		return "", false
	}
	callerPath, _ := get("PATH")
	callerShell, _ := get("SHELL")
	if foreign {
		callerPath, callerShell = "", ""
	}
	env := []string{"PATH=" + absolutePath(callerPath), "HOME=" + u.Home, "USER=" + u.Name, "LOGNAME=" + u.Name,
		"SHELL=" + shell(callerShell), "TMPDIR=/tmp", "RINGWALL=1"}
	for _, key := range passed {
		if v, ok := get(key); ok {
			env = append(env, key+"="+v)
		}
	}
	for _, kv := range caller {
		if strings.HasPrefix(kv, "LC_") {
			env = append(env, kv)
		}
	}
	for _, kv := range extra {
		key, value, given := strings.Cut(kv, "=")
		if key == "" || strings.ContainsRune(kv, 0) {
			return nil, &sandbox.Error{Code: sandbox.CodeInvalid, Op: "run", Err: fmt.Errorf("--env %q names no variable", kv),
				Hint: "write --env NAME to pass your own value, or --env NAME=VALUE"}
		}
		if !given {
			var ok bool
			if value, ok = get(key); !ok {
				return nil, &sandbox.Error{Code: sandbox.CodeInvalid, Op: "run", Err: fmt.Errorf("--env %s: you have no such variable", key),
					Hint: "set and export it first, or write --env " + key + "=VALUE"}
			}
		}
		env = set(env, key, value)
	}
	return env, nil
}

// set replaces or adds a variable.
func set(env []string, key, value string) []string {
	for i, kv := range env {
		if strings.HasPrefix(kv, key+"=") {
			env[i] = key + "=" + value
			return env
		}
	}
	return append(env, key+"="+value)
}

// absolutePath leaves the absolute entries of a PATH: what a relative one names
// depends on the directory, which the program may write.
func absolutePath(path string) string {
	var keep []string
	for _, dir := range filepath.SplitList(path) {
		if filepath.IsAbs(dir) {
			keep = append(keep, dir)
		}
	}
	if len(keep) == 0 {
		return DefaultPath
	}
	return strings.Join(keep, ":")
}

// shell keeps the caller's shell if it exists inside.
func shell(path string) string {
	if filepath.IsAbs(path) && host.Shown(filepath.Clean(path)) {
		return path
	}
	return "/bin/sh"
}
