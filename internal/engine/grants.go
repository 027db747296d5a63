package engine

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/internal/host"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// grant is something dangerous that a request asks for.
type grant struct{ flag, danger string }

// granted refuses dangerous grants unless a person asks for them: one at a terminal, or
// one who wrote --unsafe. An agent that runs ringwall has no terminal, and --unsafe in
// what it runs is easy to see and to forbid.
func (r *run) granted() error {
	if r.req.Person || r.req.Unsafe {
		return nil
	}
	all := r.grants()
	if len(all) == 0 {
		return nil
	}
	return &sandbox.Error{Code: sandbox.CodeRefused, Op: "run", Err: fmt.Errorf("%s: %s", all[0].flag, all[0].danger),
		Hint: "run it from a terminal, or add --unsafe if that is what you want"}
}

// grants are the dangerous ones of the request.
func (r *run) grants() (all []grant) {
	for _, m := range r.spec.Mounts {
		switch {
		case m.Mode != sandbox.MountReadWrite:
		case r.spec.Project == "" || !host.Below(m.Source, r.spec.Project):
			all = append(all, grant{"--rw " + m.Source, "it lies outside the project, and the command could change it at once"})
		case holdsGit(m.Source):
			all = append(all, grant{"--rw " + m.Source, "git on this host would run what the command configures there"})
		}
	}
	if r.req.UserNS {
		all = append(all, grant{"--allow-userns", "in a user namespace of its own the command reaches much more of the kernel"})
	}
	// In a range of ids of its own root is nobody on the host.
	if r.spec.As != nil && r.spec.As.UID == 0 && r.caller.UID != 0 {
		all = append(all, grant{"--user root", "your own id is all that you can give; programs would take themselves for root with it"})
	}
	return all
}

// holdsGit reports whether path is part of a git directory or has one in it: hooks and
// settings such as core.fsmonitor are run by the next git command of anybody
// (CVE-2025-61260 and its kind).
func holdsGit(path string) bool {
	if slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool { return strings.EqualFold(part, ".git") }) {
		return true
	}
	_, err := os.Lstat(path + "/.git")
	return err == nil
}

// mostID is the highest id that --user takes: all ids of a sandbox's range but the one
// that stands for nobody's.
const mostID = 65534

// parseUser reads the value of --user. It returns nil for "".
func parseUser(s string) (*sandbox.IDs, error) {
	if s == "" {
		return nil, nil
	}
	if s == "root" {
		return &sandbox.IDs{}, nil
	}
	uid, gid, both := strings.Cut(s, ":")
	if !both {
		gid = uid
	}
	var ids [2]int
	for i, text := range []string{uid, gid} {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n > mostID {
			return nil, &sandbox.Error{Code: sandbox.CodeInvalid, Op: "run", Err: fmt.Errorf("--user %s: %q is no id", s, text),
				Hint: fmt.Sprintf("write root, a number up to %d, or UID:GID", mostID)}
		}
		ids[i] = int(n)
	}
	return &sandbox.IDs{UID: ids[0], GID: ids[1]}, nil
}

// errHoldsSockets is why a directory is not shown.
var errHoldsSockets = errors.New("a socket or named pipe lies in it: whoever listens there would be in reach")

// holdsSockets looks for sockets and named pipes directly in dir, through which a program
// inside could talk to the host even though what it sees is read-only. What lies
// deeper is not searched: a tree can be large.
func holdsSockets(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // what cannot be read cannot be shown either, which is found out later
	}
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Type()&(os.ModeSocket|os.ModeNamedPipe) != 0 }) {
		return errHoldsSockets
	}
	return nil
}
