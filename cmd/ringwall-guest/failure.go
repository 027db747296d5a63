package main

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/guest"
)

// failure says which step failed, on what, and why.
type failure struct {
	step, detail string
	err          error
}

func (f *failure) message(id int) guest.Failed {
	m := guest.Failed{ID: id, Step: f.step, Detail: f.detail}
	var errno unix.Errno
	if errors.As(f.err, &errno) {
		m.Errno = int(errno)
	} else if f.err != nil {
		if m.Detail != "" {
			m.Detail += ": "
		}
		m.Detail += f.err.Error()
	}
	return m
}

// fail returns a failure for err, or nil if there is none.
func fail(step, detail string, err error) *failure {
	if err == nil {
		return nil
	}
	return &failure{step: step, detail: detail, err: err}
}
