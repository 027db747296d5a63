package sandbox

import (
	"errors"
	"strings"
)

// Code classifies an Error. It is a closed list; ExitStatus maps it.
type Code string

// The classes of errors.
const (
	CodeInvalid         Code = "invalid"           // the request is wrong; trying again cannot help
	CodeNotFound        Code = "not-found"         // what was named does not exist
	CodeCommandNotFound Code = "command-not-found" // the program does not exist inside
	CodeNotExecutable   Code = "not-executable"    // it exists and cannot be run
	CodeRefused         Code = "refused"           // possible, and refused for safety
	CodeUnsupported     Code = "unsupported"       // this host or backend cannot do it
	CodeDenied          Code = "denied"            // the operating system denied it to this user
	CodeExhausted       Code = "exhausted"         // no space, memory, processes or descriptors left
	CodeConflict        Code = "conflict"          // the state does not allow it now
	CodeLost            Code = "lost"              // the sandbox died
	CodeInternal        Code = "internal"          // a defect of Ringwall
)

// Error is the one error type that crosses package boundaries.
type Error struct {
	Code    Code
	Op      string // what was being done: "create", "start", …
	Backend string
	ID      string // of the sandbox or workspace
	Step    string // the named step that failed
	Hint    string // what the user can do about it
	Err     error  // the cause; never nil
}

// Error gives the cause and, where known, the step that failed, without the hint.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Backend != "" {
		b.WriteString(e.Backend)
		b.WriteString(": ")
	}
	if e.Step != "" {
		b.WriteString(e.Step)
		b.WriteString(": ")
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the class of err: that of the outermost Error in its chain,
// CodeInternal for other errors and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// HintOf returns the first hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// ExitStatus is the status with which a command ends because of err: 127 and 126
// as shells use them, 125 for every failure of ours, as `env` and `docker run` do.
func ExitStatus(err error) int {
	switch CodeOf(err) {
	case "":
		return 0
	case CodeCommandNotFound:
		return 127
	case CodeNotExecutable:
		return 126
	default:
		return 125
	}
}
