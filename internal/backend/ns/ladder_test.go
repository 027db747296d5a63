package ns

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/internal/sandbox/conformance"
	"github.com/ringwall/ringwall/internal/sandbox/guarantee"
)

// TestLadderDocument keeps the table of docs/ladder.md as the code has it: what is
// declared, and what attacks it.
func TestLadderDocument(t *testing.T) {
	const begin, end = "<!-- generated: go test ./internal/backend/ns -run Ladder -update -->\n", "<!-- end -->\n"
	path := filepath.Join("..", "..", "..", "docs", "ladder.md")
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) && os.Getenv("RINGWALL_TEST_PROGRAMS") != "" {
		t.Skip("the source is not here")
	}
	if err != nil {
		t.Fatal(err)
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
	b.WriteString("\n| guarantee | the code inside … | `ns` by root | `ns` by a user | `host` |\n|---|---|:-:|:-:|:-:|\n")
	mark := map[bool]string{true: "●", false: "–"}
	root, user := declared(0), declared(1000)
	for _, row := range guarantee.Table {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | – |\n", row.ID, row.Sentence, mark[slices.Contains(root, row.ID)], mark[slices.Contains(user, row.ID)])
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
