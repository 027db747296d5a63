// Ringwall-guest is the program that is PID 1 in every sandbox. It builds the
// sandbox around itself as the host tells it, gives up all its rights, and then
// starts, signals and reaps programs. It takes orders only from the control socket
// that it inherits, and ends when that socket does.
//
// The runtime would keep files of the host's cgroups open to follow its limits: the guest
// has nothing to do in parallel, and must hold nothing of the host.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"math"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/guest"
)

// mainThread is evaluated while the runtime still holds the main thread, so that
// main runs on it for good: capabilities, no_new_privs and the filter belong to
// threads, and every program is forked from this one.
var mainThread = lockThread()

func lockThread() bool {
	runtime.LockOSThread()
	return true
}

// exitBroken is the guest's own exit status when it cannot talk to the host. Nobody
// reads it but a person with strace.
const exitBroken = 70

func main() {
	// Whatever the host's caller left open without close-on-exec stops here, before
	// the runtime has opened anything of its own (CVE-2024-21626).
	unix.CloseRange(guest.ControlFD+1, math.MaxInt32, 0)
	unix.CloseOnExec(guest.ControlFD)
	if unix.Getpid() == 1 {
		// A terminal of the host must not be able to signal us, nor we to open it.
		unix.Setsid()
	}
	g := &guestState{conn: guest.NewConn(guest.ControlFD, guest.MaxToGuest)}
	kind, payload, fds, err := g.conn.Receive()
	if err != nil || kind != guest.KindSetup {
		os.Exit(exitBroken)
	}
	b, ready, fail := setup(payload, fds)
	if fail != nil {
		g.send(guest.KindFailed, fail.message(0).Encode())
		os.Exit(exitBroken)
	}
	if b.alarms >= 0 {
		g.send(guest.KindAlarms, nil, b.alarms)
		unix.Close(b.alarms)
	}
	g.send(guest.KindReady, ready.Encode())
	// The host looks at us from outside. It could not once we are sealed: then our
	// files below /proc belong to root, and whoever started us may not be.
	kind, _, fds, err = g.conn.Receive()
	if err != nil || kind != guest.KindSeal || len(fds) > 0 {
		os.Exit(exitBroken)
	}
	if fail := b.seal(); fail != nil {
		g.send(guest.KindFailed, fail.message(0).Encode())
		os.Exit(exitBroken)
	}
	g.programs.init(g)
	g.send(guest.KindSealed, nil)
	g.serve()
}

// guestState is what the receiving loop and the reaper share.
type guestState struct {
	conn *guest.Conn

	sendMu sync.Mutex

	programs programs
}

// send sends a frame. If that fails the host is gone and so are we.
func (g *guestState) send(k guest.Kind, payload []byte, fds ...int) {
	g.sendMu.Lock()
	defer g.sendMu.Unlock()
	if err := g.conn.Send(k, payload, fds...); err != nil {
		os.Exit(exitBroken)
	}
}

// serve carries out the host's requests. The kernel kills all that still runs in
// the PID namespace when we, its PID 1, exit.
func (g *guestState) serve() {
	for {
		kind, payload, fds, err := g.conn.Receive()
		if err != nil {
			os.Exit(0)
		}
		switch kind {
		case guest.KindStart:
			g.start(payload, fds)
		case guest.KindSignal:
			m, err := guest.DecodeSignal(payload)
			guest.CloseAll(fds)
			if err != nil {
				os.Exit(exitBroken)
			}
			g.programs.signal(m.ID, unix.Signal(m.Signal))
		default:
			os.Exit(exitBroken)
		}
	}
}
