package engine

import "fmt"

// state is where a run stands. The moves that are allowed:
//
//	planned → creating → ready → running → exited → destroying → gone
//	             │         │        │                   ↑
//	             └─────────┴────────┴───────────────────┘   (failure, or we were told to stop)
type state int

const (
	planned state = iota
	creating
	ready
	running
	exited
	destroying
	gone
)

var stateNames = [...]string{"planned", "creating", "ready", "running", "exited", "destroying", "gone"}

func (s state) String() string { return stateNames[s] }

// moves is the one table of what may follow what.
var moves = map[state][]state{
	planned:    {creating},
	creating:   {ready, destroying},
	ready:      {running, destroying},
	running:    {exited, destroying},
	exited:     {destroying},
	destroying: {gone},
}

// MoveError is a move that the table does not have: a defect of the engine.
type MoveError struct{ from, to state }

func (e *MoveError) Error() string { return fmt.Sprintf("a run cannot go from %v to %v", e.from, e.to) }

// move changes *s to the state to, if the table allows.
func (s *state) move(to state) error {
	for _, next := range moves[*s] {
		if next == to {
			*s = to
			return nil
		}
	}
	return &MoveError{from: *s, to: to}
}
