package pidfd

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

func TestStartTime(t *testing.T) {
	own, err := StartTime(os.Getpid())
	if err != nil || own == 0 {
		t.Fatalf("StartTime(self) = %d, %v", own, err)
	}
	if _, err := StartTime(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("StartTime of no process: %v, want os.ErrNotExist", err)
	}
}

func TestKillRecorded(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	start, err := StartTime(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	// Another start time means that the pid was reused: hands off.
	if err := KillRecorded(cmd.Process.Pid, start+1); err != nil {
		t.Fatal(err)
	}
	if _, err := StartTime(cmd.Process.Pid); err != nil {
		t.Fatalf("a process with another start time was touched: %v", err)
	}
	if err := KillRecorded(cmd.Process.Pid, start); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the recorded process was not killed")
	}
	if err := KillRecorded(cmd.Process.Pid, start); err != nil {
		t.Errorf("a process that is gone: %v", err)
	}
}
