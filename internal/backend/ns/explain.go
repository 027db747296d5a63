package ns

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/guest/client"
	"github.com/ringwall/ringwall/internal/linux/userns"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// explain turns the failure of a step of Create into an Error that says what this
// host lacks and what the user can do.
func (c *creation) explain(step string, err error) error {
	var done *sandbox.Error
	if errors.As(err, &done) {
		return err
	}
	e := &sandbox.Error{Code: sandbox.CodeInternal, Op: "create", Backend: Name, ID: c.spec.ID, Step: step, Err: err}
	var failure *client.Failure
	if errors.As(err, &failure) {
		e.Step = failure.Step
	}
	denied := errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
	var unmappable *notMappable
	switch {
	case errors.As(err, &unmappable):
		e.Code = sandbox.CodeUnsupported
		e.Hint = "run ringwall as the user who owns the files, or move them to ext4, xfs, btrfs or tmpfs"
	case step == "cgroup":
		e.Code, e.Hint = sandbox.CodeUnsupported, "see who may write there, and how many groups there may be (cgroup.max.descendants)"
	case errors.Is(err, syscall.ENOSPC) && step != "spawn", errors.Is(err, syscall.EDQUOT):
		e.Code, e.Hint = sandbox.CodeExhausted, "free some disk space"
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		e.Code, e.Hint = sandbox.CodeExhausted, "close other programs, or raise the limits on processes and open files (ulimit -u, ulimit -n)"
	case e.Step == "spawn", denied && (e.Step == "root" || e.Step == "sources" && os.Geteuid() != 0 && noRights()):
		reason, fix := userns.Explain(err)
		e.Code, e.Hint, e.Err = sandbox.CodeUnsupported, fix, fmt.Errorf("%s: %w", reason, err)
	case e.Step == "sources" && errors.Is(err, unix.EINVAL):
		// open_tree without AT_RECURSIVE on a tree whose mounts we may not take apart.
		e.Code = sandbox.CodeUnsupported
		e.Err = fmt.Errorf("another file system is mounted below this directory, which an ordinary user cannot leave out: %w", err)
		e.Hint = "choose a project directory without mounts below it, or run ringwall as root"
	case e.Step == "sources":
		e.Code, e.Hint = sandbox.CodeDenied, "make sure that you can read this directory and those above it"
	case e.Step == "view" && (denied || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV)):
		e.Code = sandbox.CodeUnsupported
		e.Hint = "the kernel refuses this mount: it takes Linux 5.12 (5.19 as root), a state directory on a local file system such as ext4, xfs, btrfs or tmpfs, and a /proc that nothing is mounted over"
	case errors.Is(err, errPosture):
		e.Code, e.Hint = sandbox.CodeUnsupported, "nothing was run; please report this with the output of `uname -a` and `cat /proc/self/mountinfo`"
	case errors.Is(err, client.ErrGone):
		e.Code, e.Hint = sandbox.CodeLost, "the guest program was killed while it started: look for an out-of-memory kill in the kernel's log"
	}
	return e
}

// noRights reports that user namespaces are restricted by something that lets us
// make one and then denies its rights.
func noRights() bool {
	_, err := os.Stat("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
	return err == nil
}
