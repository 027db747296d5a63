package engine

import "errors"

// undo collects what has to be taken back, in the order in which it was made.
type undo struct{ steps []func() error }

// add adds a step that takes back what has just been made.
func (u *undo) add(step func() error) { u.steps = append(u.steps, step) }

// run takes everything back in reverse order, each step even if an earlier one
// failed. A second run does nothing.
func (u *undo) run() error {
	var errs []error
	for i := len(u.steps) - 1; i >= 0; i-- {
		errs = append(errs, u.steps[i]())
	}
	u.steps = nil
	return errors.Join(errs...)
}
