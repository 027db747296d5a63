package seccomp

import (
	"errors"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// x32 is another ABI of this processor alone.
func TestX32IsKilled(t *testing.T) {
	var exit *exec.ExitError
	err := testChild(t, "x32")
	if !errors.As(err, &exit) {
		t.Fatalf("%v; want a process killed by SIGSYS", err)
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); !ok || ws.Signal() != unix.SIGSYS {
		t.Errorf("%v; want SIGSYS", exit)
	}
}
