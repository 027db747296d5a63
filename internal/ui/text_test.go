package ui

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNeutral(t *testing.T) {
	for in, want := range map[string]string{
		"plain/name.go":     "plain/name.go",
		"Grüße/日本語":         "Grüße/日本語",
		"a\nb\tc":           `a\nb\tc`,
		"\x1b[2Jx\x07\x7f":  `\x1b[2Jx\x07\x7f`,
		"\xff\xc3(":         `\xff\xc3(`,
		"a\u202egpj.exe":    `a\u{202e}gpj.exe`,
		"\u2066x\u2069":     `\u{2066}x\u{2069}`,
		"zero\u200bwidth":   `zero\u{200b}width`,
		"\U000e0001tag":     `\u{e0001}tag`,
		"\u009bcsi":         `\u{9b}csi`,
		"no-break\u00a0gap": `no-break\u{a0}gap`,
	} {
		if got := Neutral(in); got != want {
			t.Errorf("Neutral(%q) = %s, want %s", in, got, want)
		}
	}
}

func FuzzNeutral(f *testing.F) {
	f.Add("\x1b]0;x\x07")
	f.Fuzz(func(t *testing.T, s string) {
		got := Neutral(s)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\x07\x08\x0a\x0d\x1b\x7f\u009b\u202e") {
			t.Errorf("Neutral(%q) = %q", s, got)
		}
	})
}
