// Package archtest keeps the structure of the code: who may import whom, and which
// packages are linked into the programs.
package archtest

import (
	"encoding/json"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/internal/testenv"
)

var update = flag.Bool("update", false, "rewrite testdata/*.deps")

const module = "github.com/ringwall/ringwall"

type pkg struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// list runs go list in the module's root for linux/amd64.
func list(t *testing.T, args ...string) (all []pkg) {
	t.Helper()
	testenv.Require(t, "go")
	cmd := exec.Command("go", append([]string{"list", "-buildvcs=false", "-json=ImportPath,Imports,Standard"}, args...)...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// rule says what packages below a path may import of ours. What is not listed is not
// allowed; "…/*" stands for all packages below.
type rule struct {
	path  string
	allow []string
	std   bool // nothing outside the standard library either
}

// rules are tried in order; the first that fits a package holds.
var rules = []rule{
	{path: "api", std: true},
	{path: "internal/sandbox/guarantee", allow: []string{"internal/sandbox"}, std: true},
	{path: "internal/sandbox/conformance/*", allow: []string{"internal/sandbox", "internal/testenv", "internal/workspace", "internal/rundir", "internal/backend/host"}},
	{path: "internal/sandbox", std: true},
	{path: "internal/linux/*", allow: []string{"internal/linux/*"}},
	{path: "internal/version", std: true},
	{path: "internal/guest/client", allow: []string{"internal/guest"}},
	{path: "internal/guest/*"},
	{path: "cmd/ringwall-guest", allow: []string{"internal/guest", "internal/linux/*"}},
	{path: "internal/ui"},
	{path: "internal/host", allow: []string{"internal/sandbox"}},
	{path: "internal/keyfiles"},
	{path: "internal/keeper", allow: []string{"internal/sandbox", "internal/guest", "internal/linux/*"}},
	{path: "internal/rundir", allow: []string{"internal/sandbox", "internal/linux/flock"}},
	{path: "internal/workspace", allow: []string{"internal/sandbox", "internal/linux/*"}},
	{path: "internal/backend/all", allow: []string{"internal/sandbox", "internal/backend/*"}},
	{path: "internal/backend/shared", allow: []string{"internal/sandbox", "internal/linux/*"}},
	// A backend imports neither another backend nor the engine.
	{path: "internal/backend/*", allow: []string{"internal/sandbox", "internal/sandbox/guarantee", "internal/backend/shared", "internal/keeper", "internal/guest/*", "internal/linux/*", "internal/rundir"}},
	{path: "internal/engine", allow: []string{"internal/sandbox", "internal/host", "internal/rundir", "internal/workspace", "internal/keyfiles", "internal/linux/*"}},
	{path: "internal/cli", allow: []string{"api", "internal/*"}},
	{path: "cmd/ringwall", allow: []string{"internal/cli"}},
	{path: "internal/testenv/*"},
	{path: "internal/archtest"},
	{path: "bench"},
	{path: "contrib/*", allow: []string{"internal/cli"}},
}

func fits(pattern, path string) bool {
	if below, ok := strings.CutSuffix(pattern, "/*"); ok {
		return path == below || strings.HasPrefix(path, below+"/")
	}
	return path == pattern
}

func TestImports(t *testing.T) {
	for _, p := range list(t, "./...") {
		path := strings.TrimPrefix(p.ImportPath, module+"/")
		i := slices.IndexFunc(rules, func(r rule) bool { return fits(r.path, path) })
		if i < 0 {
			t.Errorf("%s: no rule says what it may import", path)
			continue
		}
		r := rules[i]
		for _, imported := range p.Imports {
			ours, isOurs := strings.CutPrefix(imported, module+"/")
			switch {
			case !isOurs && r.std && strings.Contains(strings.Split(imported, "/")[0], "."):
				t.Errorf("%s imports %s: only the standard library is allowed there", path, imported)
			case !isOurs:
			case path == "internal/testenv/table" && ours == "internal/testenv", strings.HasPrefix(path, "internal/linux/seccomp/gen") && strings.HasPrefix(ours, "internal/linux/"):
			case ours != path && !slices.ContainsFunc(r.allow, func(a string) bool { return fits(a, ours) }):
				t.Errorf("%s imports %s: the rules do not allow that", path, ours)
			}
		}
	}
}

// TestLinkedPackages closes the list of what is linked into the programs. Package
// initialisation runs before main, however lazily a package is used: every one of
// these is paid for at every start. If a new one is worth that, run the test with
// -update and say why in the commit.
func TestLinkedPackages(t *testing.T) {
	for _, program := range []string{"ringwall", "ringwall-guest"} {
		var got []string
		for _, p := range list(t, "-deps", "./cmd/"+program) {
			got = append(got, p.ImportPath)
		}
		slices.Sort(got)
		file := filepath.Join("testdata", program+".deps")
		if *update {
			if err := os.WriteFile(file, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Fields(string(raw))
		for _, p := range got {
			if !slices.Contains(want, p) {
				t.Errorf("%s is newly linked into %s; if that is worth it at every start: go test ./internal/archtest -update", p, program)
			}
		}
		for _, p := range want {
			if !slices.Contains(got, p) {
				t.Errorf("%s is no longer linked into %s: go test ./internal/archtest -update", p, program)
			}
		}
	}
}

// TestNoInit finds functions called init: what runs before main should be seen in it.
func TestNoInit(t *testing.T) {
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Name.Name == "init" && f.Recv == nil {
				t.Errorf("%s has an init function", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLicences finds a licence for every module that is linked, and it in NOTICE.
func TestLicences(t *testing.T) {
	testenv.Require(t, "go")
	cmd := exec.Command("go", "list", "-buildvcs=false", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}", "./cmd/...")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	notice, err := os.ReadFile("../../NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range slices.Compact(strings.Split(strings.TrimSpace(string(out)), "\n")) {
		path, dir, ok := strings.Cut(line, " ")
		if !ok {
			continue
		}
		licence := ""
		for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "COPYING"} {
			if raw, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				licence = string(raw)
			}
		}
		known := strings.Contains(licence, "Apache License") || strings.Contains(licence, "Redistribution and use in source and binary forms") ||
			strings.Contains(licence, "Permission is hereby granted, free of charge")
		if !known {
			t.Errorf("%s has no licence of the kinds Apache-2.0, BSD, MIT", path)
		}
		if !strings.Contains(string(notice), path+" ") {
			t.Errorf("NOTICE does not name %s", path)
		}
	}
}
