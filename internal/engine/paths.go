package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/ringwall/ringwall/internal/host"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// NoProject as Request.Project asks for a sandbox without a project.
const NoProject = "none"

// places are the paths that requests are checked against.
type places struct {
	cwd     string
	home    string   // as the host has it
	wall    []string // our own directories
	runtime string   // $XDG_RUNTIME_DIR, "" if there is none: full of sockets
	hostRO  []string // system directories
}

// project resolves what the user named: the project and the directory inside which
// the program starts. Both are "" for NoProject.
func (p places) project(name string) (project, dir string, err error) {
	if name == NoProject {
		return "", "", nil
	}
	given := name
	if name == "" {
		name, given = p.cwd, "the current directory, "+p.cwd+","
	}
	refuse := func(code sandbox.Code, hint string, format string, args ...any) (string, string, error) {
		return "", "", &sandbox.Error{Code: code, Op: "run", Err: fmt.Errorf(format, args...), Hint: hint}
	}
	path, info, err := resolve(p.cwd, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse(sandbox.CodeNotFound, "name an existing directory with --project DIR, or use --project none", "project %s does not exist", given)
	case err != nil:
		return refuse(sandbox.CodeDenied, "make sure that you may enter it and those above it", "project %s: %w", given, bare(err))
	case !info.IsDir():
		return refuse(sandbox.CodeInvalid, "name the directory that holds it", "project %s is not a directory", given)
	}
	const choose = "change to the project's own directory, name it with --project DIR, or use --project none"
	switch {
	case path == "/":
		return refuse(sandbox.CodeRefused, choose, "project %s is the whole file system: everything on this host would be shown inside", given)
	case path == p.home:
		return refuse(sandbox.CodeRefused, choose, "project %s is your home directory: your keys, tokens and history would be shown inside", given)
	case host.Below(p.home, path):
		return refuse(sandbox.CodeRefused, choose, "project %s contains your home directory: your keys, tokens and history would be shown inside", given)
	case slices.Contains(p.hostRO, path) || host.Below(path, "/proc", "/sys", "/dev", "/etc", "/boot"):
		return refuse(sandbox.CodeRefused, choose, "project %s is a directory of the system", given)
	}
	if err := p.clearOfWall("project", path); err != nil {
		return "", "", err
	}
	const readAndSearch = 5 // R_OK|X_OK
	if err := syscall.Access(path, readAndSearch); err != nil {
		return refuse(sandbox.CodeDenied, "give yourself the right to read it: chmod u+rx "+path, "project %s cannot be read: %w", given, err)
	}
	dir = path
	if cwd, _, err := resolve("/", p.cwd); err == nil && host.Below(cwd, path) {
		dir = cwd
	}
	return path, dir, nil
}

// root resolves --rootfs. "" stays "".
func (p places) root(name, project string) (string, error) {
	if name == "" {
		return "", nil
	}
	refuse := func(code sandbox.Code, hint, format string, args ...any) (string, error) {
		return "", &sandbox.Error{Code: code, Op: "run", Hint: hint, Err: fmt.Errorf("--rootfs %s: %w", name, fmt.Errorf(format, args...))}
	}
	const unpack = "name a directory that a root file system was unpacked into"
	path, info, err := resolve(p.cwd, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse(sandbox.CodeNotFound, unpack, "it does not exist")
	case err != nil:
		return refuse(sandbox.CodeDenied, "make sure that you can read it", "%w", bare(err))
	case !info.IsDir():
		return refuse(sandbox.CodeInvalid, unpack, "it is not a directory")
	case path == "/" || path == p.home || host.Below(p.home, path):
		return refuse(sandbox.CodeRefused, unpack, "that would show your whole home directory")
	case host.Below(path, "/proc", "/sys", "/dev", "/run", "/var/run"):
		return refuse(sandbox.CodeRefused, unpack, "the interfaces of this host are not shown")
	case project != "" && host.Below(project, path):
		return refuse(sandbox.CodeInvalid, "choose a project outside it with --project DIR", "the project %s lies in it", project)
	}
	if err := p.clearOfWall("--rootfs", path); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return refuse(sandbox.CodeDenied, "make sure that you can read it", "%w", bare(err))
	}
	const most = 200
	if len(entries) == 0 || len(entries) > most {
		return refuse(sandbox.CodeInvalid, unpack, "%d entries at its top: that is no root file system", len(entries))
	}
	return path, nil
}

// flagOf is the flag by which a mount is asked for.
func flagOf(m sandbox.MountMode) string {
	switch m {
	case sandbox.MountThrowAway:
		return "--share"
	case sandbox.MountReadWrite:
		return "--rw"
	default:
		return "--ro"
	}
}

// mounts resolves --ro, --share and --rw paths, leaves out doubles and orders them outer
// directories first.
func (p places) mounts(wanted []sandbox.Mount) ([]sandbox.Mount, error) {
	var all []sandbox.Mount
	for _, m := range wanted {
		flag := flagOf(m.Mode)
		refuse := func(code sandbox.Code, hint, format string, args ...any) ([]sandbox.Mount, error) {
			return nil, &sandbox.Error{Code: code, Op: "run", Hint: hint,
				Err: fmt.Errorf("%s %s: %w", flag, m.Source, fmt.Errorf(format, args...))}
		}
		path, info, err := resolve(p.cwd, m.Source)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			fix := "check the path"
			if m.Mode == sandbox.MountReadWrite {
				fix = "check the path, or make it first"
			}
			return refuse(sandbox.CodeNotFound, fix, "it does not exist")
		case err != nil:
			return refuse(sandbox.CodeDenied, "make sure that you can read it", "%w", bare(err))
		case path == "/" || path == p.home || host.Below(p.home, path):
			return refuse(sandbox.CodeRefused, "name the one directory below it that the program needs", "that would show your whole home directory")
		case host.Below(path, "/proc", "/sys", "/dev"):
			return refuse(sandbox.CodeRefused, "what a program needs of it is there already", "the kernel's interfaces are not shown")
		case host.Below(path, "/run", "/var/run") || p.runtime != "" && (host.Below(path, p.runtime) || host.Below(p.runtime, path)):
			return refuse(sandbox.CodeRefused, "name the one file that the program needs, copied elsewhere", "the sockets of this host's services are there")
		case m.Mode == sandbox.MountReadWrite && (slices.Contains(p.hostRO, path) || host.Below(path, "/etc", "/boot", "/usr", "/bin", "/sbin", "/lib", "/lib64")):
			return refuse(sandbox.CodeRefused, "nothing grants this", "a program that writes there takes over the host")
		case m.Mode == sandbox.MountThrowAway && !info.IsDir():
			return refuse(sandbox.CodeInvalid, "use --ro for a single file", "only a directory can be shared")
		case !info.IsDir() && !info.Mode().IsRegular():
			return refuse(sandbox.CodeRefused, "only files and directories can be shown", "it is a %s", kindOf(info.Mode()))
		}
		if err := p.clearOfWall(flag, path); err != nil {
			return nil, err
		}
		if info.IsDir() {
			if err := holdsSockets(path); err != nil {
				return refuse(sandbox.CodeRefused, "name what the program needs, without the socket", "%w", err)
			}
		}
		m.Source = path
		if i := slices.IndexFunc(all, func(o sandbox.Mount) bool { return o.Source == path }); i >= 0 {
			if all[i].Mode != m.Mode {
				return refuse(sandbox.CodeInvalid, "use one of the two", "it is given with %s and with %s", flagOf(all[i].Mode), flag)
			}
			continue
		}
		all = append(all, m)
	}
	slices.SortStableFunc(all, func(a, b sandbox.Mount) int { return len(a.Source) - len(b.Source) })
	return all, nil
}

// clearOfWall refuses paths that would show or change our own records.
func (p places) clearOfWall(what, path string) error {
	for _, w := range p.wall {
		if host.Below(path, w) || host.Below(w, path) {
			return &sandbox.Error{Code: sandbox.CodeRefused, Op: "run",
				Err:  fmt.Errorf("%s %s overlaps %s, where Ringwall keeps its own records", what, path, w),
				Hint: "choose another directory"}
		}
	}
	return nil
}

// resolve makes name absolute and free of symbolic links.
func resolve(cwd, name string) (string, fs.FileInfo, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(cwd, name)
	}
	path, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", nil, err
	}
	info, err := os.Lstat(path)
	return path, info, err
}

// bare is err without the path that the message has already.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeDevice != 0:
		return "device"
	default:
		return "special file"
	}
}
