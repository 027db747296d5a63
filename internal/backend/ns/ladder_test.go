package ns

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/internal/sandbox/conformance"
	"github.com/ringwall/ringwall/internal/sandbox/guarantee"
	"github.com/ringwall/ringwall/internal/testenv"
)

// TestLadderDocument keeps the table of docs/ladder.md as the code has it: what is
// declared, and what attacks it.
func TestLadderDocument(t *testing.T) {
	const begin, end = "<!-- generated: go test ./internal/backend/ns -run Ladder -update -->\n", "<!-- end -->\n"
	path := filepath.Join("..", "..", "..", "docs", "ladder.md")
	raw, err := os.ReadFile(path)
	if err != nil {
		testenv.Missing(t, "checkout", err.Error())
	}
	before, rest, ok := strings.Cut(string(raw), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	want := before + begin + ladder() + end + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(raw) {
		t.Errorf("%s is not what the code says: go test ./internal/backend/ns -run Ladder -update", path)
	}
}

// ladder renders the table.
func ladder() string {
	var b strings.Builder
	b.WriteString("\n| guarantee | the code inside … | `ns` by root | `ns` by a user, delegated | `ns` by a user | `host` |\n|---|---|:-:|:-:|:-:|:-:|\n")
	mark := map[bool]string{true: "●", false: "–"}
	root, delegated, user := declared(0, true, true), declared(1000, true, true), declared(1000, false, true)
	for _, row := range guarantee.Table {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | – |\n", row.ID, row.Sentence,
			mark[slices.Contains(root, row.ID)], mark[slices.Contains(delegated, row.ID)], mark[slices.Contains(user, row.ID)])
	}
	b.WriteString("\n| guarantee | is attacked by | the attack succeeds without |\n|---|---|---|\n")
	for _, row := range guarantee.Table {
		for _, m := range conformance.Mechanisms() {
			if m.Guarantee != row.ID {
				continue
			}
			control := "`" + m.Control + "`"
			if m.Control == "host" {
				control = "any sandbox"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", row.ID, m.Name, control)
		}
	}
	b.WriteString("\n")
	return b.String()
}

// TestEveryLayerIsMissed is the mutation check: each protective layer that can be left
// out is the control of an attack, which then succeeds. A layer whose absence nothing
// notices protects nothing, or nothing tests it.
func TestEveryLayerIsMissed(t *testing.T) {
	named := regexp.MustCompile(`(?:omits\(|omit, )"([a-z]+)"`)
	layers := map[string]bool{"pidns": true, "ipcns": true, "netns": true} // in a table
	for _, dir := range []string{".", filepath.Join("..", "..", "..", "cmd", "ringwall-guest")} {
		paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(paths) == 0 {
			testenv.Missing(t, "checkout", "the source is not here")
		}
		for _, path := range paths {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			for _, m := range named.FindAllStringSubmatch(string(raw), -1) {
				layers[m[1]] = true
			}
		}
	}
	if len(layers) < 12 {
		t.Fatalf("only %v were found", layers)
	}
	for layer := range layers {
		if !slices.ContainsFunc(conformance.Mechanisms(), func(m conformance.Mechanism) bool { return m.Control == layer }) {
			t.Errorf("leaving out %q is the control of no attack", layer)
		}
	}
}
