// Package ui writes for people. What comes out of a sandbox is neutralised on its
// way to a terminal.
package ui

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Neutral returns s with everything that could act on a terminal or mislead a reader
// written as an escape: control characters, invalid UTF-8, and the marks that change
// the direction of text (CVE-2021-42574).
func Neutral(s string) string {
	plain := true
	for _, r := range s {
		if !harmless(r) {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x`)
			b.WriteByte(hex[s[i]>>4])
			b.WriteByte(hex[s[i]&15])
		case harmless(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x80:
			b.WriteString(`\x`)
			b.WriteByte(hex[r>>4])
			b.WriteByte(hex[r&15])
		default:
			b.WriteString(`\u{`)
			for shift := 20; shift >= 0; shift -= 4 {
				if r>>shift != 0 {
					b.WriteByte(hex[r>>shift&15])
				}
			}
			b.WriteByte('}')
		}
		i += n
	}
	return b.String()
}

const hex = "0123456789abcdef"

// harmless reports whether r only adds a glyph. unicode.IsPrint knows neither control
// and format characters, which include all marks of direction, nor private ones.
func harmless(r rune) bool {
	return r == ' ' || r != utf8.RuneError && unicode.IsPrint(r)
}
