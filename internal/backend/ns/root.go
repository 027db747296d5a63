package ns

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/internal/guest"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// ownTops are the directories that every sandbox has of its own. What a foreign root
// file system has there is not shown.
var ownTops = []string{"dev", "proc", "sys", "tmp", "run"}

// foreignRoot shows the directory s.Root as the root file system, read-only. It is not
// mounted as a whole: our root stays one that we made, and each directory at the top of
// the foreign one appears in it. So a link that stands there for /dev or /proc is never
// met (CVE-2025-31133), and device nodes and set-user-id bits count nowhere.
//
// Where something of ours must lie in such a directory, the home, the project, files of
// /etc, it is made first and the foreign directory merged below.
func (p *planner) foreignRoot(s sandbox.Spec, id identity) {
	entries, _ := p.host.ReadDir(s.Root)
	p.etcFiles(s.User, id)
	merged := []string{"etc"}
	need := func(path string, dir bool) {
		top := strings.Split(path, "/")[1]
		if slices.Contains(ownTops, top) {
			return
		}
		if dir {
			p.op(guest.Op{Kind: guest.OpDir, Target: path, Mode: 0o755})
		} else {
			p.op(guest.Op{Kind: guest.OpFile, Target: path, Mode: 0o444})
		}
		if !slices.Contains(merged, top) {
			merged = append(merged, top)
		}
	}
	need("/var/tmp", true)
	need(s.User.Home, true)
	if s.Project != "" {
		need(s.Project, true)
	}
	for _, m := range s.Mounts {
		// Below the project it is the project that has a place for it.
		if s.Project == "" || !strings.HasPrefix(m.Source, s.Project+"/") {
			need(m.Source, p.isDir(m.Source))
		}
	}
	for _, e := range entries {
		source, target := filepath.Join(s.Root, e.Name()), "/"+e.Name()
		switch {
		case slices.Contains(ownTops, e.Name()):
		case slices.Contains(merged, e.Name()):
			if e.IsDir() {
				p.op(guest.Op{Kind: guest.OpMerge, Target: target, Source: p.source(source, false, true)})
			}
		case e.Type()&os.ModeSymlink != 0:
			if link, err := p.host.Readlink(source); err == nil {
				p.op(guest.Op{Kind: guest.OpSymlink, Target: target, Data: link})
			}
		case e.IsDir() || e.Type().IsRegular():
			p.op(guest.Op{Kind: guest.OpBind, Target: target, Source: p.source(source, true, true), ReadOnly: true})
		}
	}
}
