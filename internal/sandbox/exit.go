package sandbox

import (
	"syscall"
	"time"
)

// Reason says why a program ended. It is a closed list.
type Reason string

// The reasons for which a program ends. (Those that come from limits arrive with
// the limits themselves.)
const (
	ReasonExited   Reason = "exited"   // by itself; Code is its status
	ReasonSignaled Reason = "signaled" // by a signal that is not one of ours
	ReasonOOM      Reason = "oom"      // killed, as the sandbox's memory was used up
	ReasonLost     Reason = "lost"     // the sandbox died under it; how the program ended is not known
)

// Exit is how a program ended. It is a result, never an error.
type Exit struct {
	Reason Reason
	Code   int            // 0 to 255 if Reason is ReasonExited
	Signal syscall.Signal // if Reason is ReasonSignaled
	Usage  Usage
}

// Status is the exit status that a shell would show: the program's own, 128+n for
// signal n, 137 when its memory was used up, 125 when the sandbox was lost.
func (e Exit) Status() int {
	switch e.Reason {
	case ReasonExited:
		return e.Code
	case ReasonSignaled:
		return 128 + int(e.Signal)
	case ReasonOOM:
		return 128 + int(syscall.SIGKILL)
	default:
		return 125
	}
}

// Usage is what the program and its waited-for children used.
type Usage struct {
	Wall   time.Duration
	User   time.Duration // CPU time in user mode
	System time.Duration // CPU time in the kernel
	MaxRSS int64         // bytes, of the largest single process
}
