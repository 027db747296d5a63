package ns

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/seccomp"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// mostDenials is how many different denials are told apart. A program can name itself
// and its arguments as it likes, and must not fill the memory of the host with them.
const mostDenials = 32

// denials answers the alarms of one sandbox's filter and remembers them. Nil is one that
// has no filter.
type denials struct {
	listener *seccomp.Listener
	userNS   bool
	done     chan struct{} // closed when nobody answers any more

	mu   sync.Mutex
	list []sandbox.Denial
}

// listen takes over fd, which the guest's filter reports to.
func listen(fd int, userNS bool) (*denials, error) {
	l, err := seccomp.NewListener(fd)
	if err != nil {
		return nil, err
	}
	d := &denials{listener: l, userNS: userNS, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		l.Serve(d.note)
	}()
	return d, nil
}

// close stops answering. It is idempotent.
func (d *denials) close() {
	if d != nil {
		d.listener.Close()
		<-d.done
	}
}

// Denied implements sandbox.DenialLister.
func (d *denials) Denied() []sandbox.Denial {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

func (d *denials) note(a seccomp.Alarm) {
	// The process waits for the answer, so this is its name and not another's.
	name, _ := os.ReadFile("/proc/" + strconv.Itoa(a.PID) + "/comm")
	n := sandbox.Denial{Call: a.Call, Detail: detail(a), Program: string(bytes.TrimSuffix(name, []byte("\n"))), Count: 1}
	if a.Call == "clone" || a.Call == "unshare" {
		n.Hint = "--allow-userns"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	same := func(o sandbox.Denial) bool { return o.Call == n.Call && o.Detail == n.Detail && o.Program == n.Program }
	if len(d.list) == mostDenials-1 && !slices.ContainsFunc(d.list, same) || len(d.list) == mostDenials {
		n.Call, n.Detail, n.Program, n.Hint = "other calls", "", "", ""
	}
	if i := slices.IndexFunc(d.list, same); i >= 0 {
		d.list[i].Count++
		return
	}
	d.list = append(d.list, n)
}

// detail says what of a call the filter minded.
func detail(a seccomp.Alarm) string {
	switch a.Call {
	case "clone", "unshare":
		var flags []string
		for _, f := range namespaceFlags {
			// In clone(2) the lowest bits are the signal that the child ends with.
			if a.Args[0]&f.bit != 0 && (a.Call == "unshare" || f.bit != unix.CLONE_NEWTIME) {
				flags = append(flags, f.name)
			}
		}
		return strings.Join(flags, "|")
	case "socket", "socketpair":
		family := uint32(a.Args[0])
		for _, f := range families {
			if f.number == family {
				return f.name
			}
		}
		return "address family " + strconv.Itoa(int(int32(family)))
	case "ioctl":
		switch uint32(a.Args[1]) {
		case unix.TIOCSTI:
			return "TIOCSTI"
		case unix.TIOCLINUX:
			return "TIOCLINUX"
		case unix.TIOCSETD:
			return "TIOCSETD"
		}
		return fmt.Sprintf("%#x", uint32(a.Args[1]))
	}
	return ""
}

var namespaceFlags = []struct {
	bit  uint64
	name string
}{
	{unix.CLONE_NEWUSER, "CLONE_NEWUSER"}, {unix.CLONE_NEWNS, "CLONE_NEWNS"}, {unix.CLONE_NEWPID, "CLONE_NEWPID"},
	{unix.CLONE_NEWNET, "CLONE_NEWNET"}, {unix.CLONE_NEWIPC, "CLONE_NEWIPC"}, {unix.CLONE_NEWUTS, "CLONE_NEWUTS"},
	{unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP"}, {unix.CLONE_NEWTIME, "CLONE_NEWTIME"},
}

// families are those whose names say something to people.
var families = []struct {
	number uint32
	name   string
}{
	{unix.AF_ALG, "AF_ALG"}, {unix.AF_VSOCK, "AF_VSOCK"}, {unix.AF_PACKET, "AF_PACKET"}, {unix.AF_NETLINK, "AF_NETLINK"},
	{unix.AF_XDP, "AF_XDP"}, {unix.AF_KEY, "AF_KEY"}, {unix.AF_BLUETOOTH, "AF_BLUETOOTH"}, {unix.AF_CAN, "AF_CAN"},
	{unix.AF_TIPC, "AF_TIPC"}, {unix.AF_RDS, "AF_RDS"}, {unix.AF_NFC, "AF_NFC"},
}
