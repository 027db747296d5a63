package ui

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Palette colours what is written, or does not.
type Palette bool

// PaletteFor returns colours if f is a terminal and NO_COLOR is not set.
func PaletteFor(f *os.File) Palette {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	return Palette(IsTerminal(f))
}

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// The colours in use.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
)

func (p Palette) paint(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Change writes one line of a list of changes.
func (p Palette) Change(w io.Writer, kind byte, path string) {
	code := map[byte]string{'A': green, 'M': yellow, 'D': red}[kind]
	fmt.Fprintf(w, "%s %s\n", p.paint(code, string(kind)), Neutral(path))
}

// Error writes a failure and, on a line of its own, what can be done about it.
func (p Palette) Error(w io.Writer, err error, hint string) {
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintf(w, "%s %s\n", p.paint(red, "ringwall:"), Neutral(line))
	}
	if hint != "" {
		fmt.Fprintf(w, "  %s %s\n", p.paint(green, "fix:"), Neutral(hint))
	}
}

// Prefix is what our own lines begin with that tell the user something.
func (p Palette) Prefix() string { return p.paint(yellow, "ringwall:") }

// Note writes something that the user should know and, if there is one, the flag that
// would change it.
func (p Palette) Note(w io.Writer, text, allow string) {
	fmt.Fprintf(w, "%s %s", p.Prefix(), text)
	if allow != "" {
		fmt.Fprintf(w, " %s", p.paint(dim, "("+allow+" would allow it)"))
	}
	fmt.Fprintln(w)
}

// Step writes a finished step with its time.
func (p Palette) Step(w io.Writer, where, name string, took time.Duration) {
	fmt.Fprintln(w, p.paint(dim, fmt.Sprintf("ringwall: %-5s %-10s %9.3f ms", where, name, float64(took)/float64(time.Millisecond))))
}

// Age says how long ago something was, in its largest unit.
func Age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s" // the clock was set back
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
}
