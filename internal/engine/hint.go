package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringwall/ringwall/internal/host"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// withHint adds to "command not found" what would make it found.
func (r *run) withHint(err error) error {
	var e *sandbox.Error
	if r.spec.Root != "" && errors.As(err, &e) && e.Code == sandbox.CodeCommandNotFound && e.Hint == "" {
		e.Hint = "it is looked for in " + r.spec.Root + " alone: choose another program, or another --rootfs"
		return err
	}
	return withShareHint(err, r.cmd.Args[0], r.caller.Home)
}

// withShareHint adds to "command not found" what would make it found: the program is
// often there on the host, in a directory that sandboxes do not show.
func withShareHint(err error, name, home string) error {
	var e *sandbox.Error
	if !errors.As(err, &e) || e.Code != sandbox.CodeCommandNotFound || e.Hint != "" {
		return err
	}
	path := findOnHost(name, os.Getenv("PATH"))
	if path == "" {
		e.Hint = "check the spelling; inside, programs are found in /usr, /opt and what --share or --ro shows"
		return err
	}
	e.Hint = "it is " + path + " on this host, which the sandbox does not show: add --share " + toolRoot(path, home)
	return err
}

// findOnHost returns where name is found on the host but not inside, or "".
func findOnHost(name, path string) string {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		for _, dir := range filepath.SplitList(path) {
			if filepath.IsAbs(dir) {
				candidates = append(candidates, filepath.Join(dir, name))
			}
		}
	}
	for _, c := range candidates {
		if info, err := os.Stat(c); filepath.IsAbs(c) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && !host.Shown(c) {
			return c
		}
	}
	return ""
}

// toolRoot returns the directory to share for a program: that of the whole tool when
// it lies in its bin. Of what lies directly in the home directory only the bin: in
// ~/.local and ~/.cargo there are keys beside it.
func toolRoot(path, home string) string {
	dir := filepath.Dir(path)
	root := filepath.Dir(dir)
	if filepath.Base(dir) == "bin" && root != "/" && filepath.Dir(root) != home && !host.Below(home, root) {
		return root
	}
	return dir
}
