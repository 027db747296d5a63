package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// Dirs are where Ringwall keeps things. Both exist, belong to the caller and are
// closed to all others.
type Dirs struct {
	Runtime string // live sandboxes; gone after a reboot, or cleaned then
	State   string // workspaces and the guest program; durable
}

// The variables that override the directories.
const (
	runtimeEnv = "RINGWALL_RUNTIME_DIR"
	stateEnv   = "RINGWALL_STATE_DIR"
)

// FindDirs returns the caller's directories, made if they are missing.
func FindDirs(u sandbox.User) (Dirs, error) {
	var d Dirs
	var err error
	if d.State, err = ensure(statePath(u), stateEnv); err != nil {
		return Dirs{}, err
	}
	d.Runtime, err = ensure(runtimePath(u), runtimeEnv)
	if err != nil {
		return Dirs{}, err
	}
	return d, nil
}

func statePath(u sandbox.User) string {
	if dir := os.Getenv(stateEnv); dir != "" {
		return dir
	}
	if u.UID == 0 {
		return "/var/lib/ringwall"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "ringwall")
	}
	return filepath.Join(u.Home, ".local", "state", "ringwall")
}

func runtimePath(u sandbox.User) string {
	if dir := os.Getenv(runtimeEnv); dir != "" {
		return dir
	}
	if u.UID == 0 {
		return "/run/ringwall"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return filepath.Join(dir, "ringwall")
		}
	}
	return filepath.Join(os.TempDir(), "ringwall-"+strconv.Itoa(u.UID))
}

// ensure makes path a directory of ours with mode 0700. In a directory that others
// write to, somebody else's directory or symbolic link may lie there already: it is
// refused, never adopted.
func ensure(path, env string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if info, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", dirError(path, env, err)
		}
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", dirError(path, env, err)
		}
	} else if err != nil {
		return "", dirError(path, env, err)
	} else if info.Mode()&fs.ModeSymlink != 0 && os.Getenv(env) != "" {
		// Named by the caller: a link there is the caller's own choice.
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return "", dirError(path, env, err)
		}
	}
	info, err := os.Lstat(path)
	if err != nil {
		return "", dirError(path, env, err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return "", dirError(path, env, errors.New("it is not a directory"))
	case !ok || int(st.Uid) != os.Geteuid():
		return "", dirError(path, env, errors.New("it belongs to another user"))
	case info.Mode().Perm()&0o077 != 0:
		if err := os.Chmod(path, 0o700); err != nil {
			return "", dirError(path, env, err)
		}
	}
	return path, writable(path, env)
}

func writable(path, env string) error {
	const writeAndSearch = 3 // W_OK|X_OK
	if err := syscall.Access(path, writeAndSearch); err != nil {
		return dirError(path, env, err)
	}
	return nil
}

func dirError(path, env string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	code, hint := sandbox.CodeDenied, "make it writable for you, or set "+env+" to a directory that is"
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		code, hint = sandbox.CodeExhausted, "free some disk space, or set "+env+" to a directory on another file system"
	}
	return &sandbox.Error{Code: code, Op: "start", Step: "directories", Hint: hint,
		Err: fmt.Errorf("cannot keep anything in %s: %w", path, err)}
}
