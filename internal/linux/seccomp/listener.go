package seccomp

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Alarm is an alarming call that was refused.
type Alarm struct {
	PID  int // of the thread, as the host counts
	Call string
	Args [6]uint64
}

// alarm is an entry of the generated table.
type alarm struct {
	nr    int32
	name  string
	errno int32
}

// notification is struct seccomp_notif of seccomp_unotify(2).
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// response is struct seccomp_notif_resp. Its flags stay 0: with
// SECCOMP_USER_NOTIF_FLAG_CONTINUE the call would be carried out with arguments that
// can have changed since (seccomp_unotify(2), "Caveats").
type response struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// Listener receives and refuses alarming calls. It belongs to who made it.
type Listener struct {
	file *os.File
	conn syscall.RawConn

	burst int // alarms that are answered at once
	pause time.Duration
}

// NewListener returns a Listener on fd, a descriptor that Install returned in another
// process, and owns it.
func NewListener(fd int) (*Listener, error) {
	if err := unix.SetNonblock(fd, true); err != nil { // for the runtime's poller
		unix.Close(fd)
		return nil, err
	}
	l := &Listener{file: os.NewFile(uintptr(fd), "seccomp"), burst: 200, pause: 5 * time.Millisecond}
	var err error
	if l.conn, err = l.file.SyscallConn(); err != nil {
		l.file.Close()
		return nil, err
	}
	return l, nil
}

// Serve hands every alarming call to note and then refuses it with the error that its
// table says, until no process is left under the filter or Close is called. The thread
// that made the call waits all the while, so note finds it alive.
//
// A program that does nothing else must not keep the host busy: after the first ones
// an answer takes 5 ms, during which only alarming calls of this sandbox wait.
func (l *Listener) Serve(note func(Alarm)) {
	for {
		n, err := l.next()
		if err != nil {
			return
		}
		if n.id == 0 {
			continue // its program was killed before we looked
		}
		name, errno := lookUp(n.nr)
		note(Alarm{PID: int(n.pid), Call: name, Args: n.args})
		if l.burst > 0 {
			l.burst--
		} else {
			time.Sleep(l.pause)
		}
		if err := l.refuse(n.id, errno); err != nil {
			return
		}
	}
}

// Close ends Serve. Alarming calls fail with ENOSYS from then on.
func (l *Listener) Close() error { return l.file.Close() }

// errEnd is why Serve ends: nobody is under the filter any more.
var errEnd = errors.New("no process left")

// next waits for a notification.
func (l *Listener) next() (n notification, err error) {
	e := l.conn.Read(func(fd uintptr) bool {
		// Receiving blocks even where the descriptor says not to (kernel/seccomp.c,
		// seccomp_notify_recv): look first.
		set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if ready, e := unix.Poll(set, 0); ready == 0 || e != nil {
			return false
		}
		if set[0].Revents&unix.POLLIN == 0 {
			err = errEnd
			return true
		}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n)))
		if errno != 0 && errno != unix.ENOENT && errno != unix.EINTR {
			err = errno
		}
		return true
	})
	if e != nil {
		return n, e
	}
	return n, err
}

// refuse lets the call that waits fail. That its program has been killed is fine.
func (l *Listener) refuse(id uint64, errno int32) (err error) {
	e := l.conn.Control(func(fd uintptr) {
		r := response{id: id, errno: -errno}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
		if errno != 0 && errno != unix.ENOENT && errno != unix.EINPROGRESS {
			err = errno
		}
	})
	return errors.Join(e, err)
}

// lookUp returns the name of a call and the error number that refuses it.
func lookUp(nr int32) (name string, errno int32) {
	for _, a := range alarming {
		if a.nr == nr {
			return a.name, a.errno
		}
	}
	return "call", int32(unix.EPERM)
}
