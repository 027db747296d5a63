package conformance

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// outsideAttacks are those whose outcome is seen from the host.
var outsideAttacks = []attack{
	{guarantee: sandbox.NotHostRoot, name: "uid of a program on the host", omit: controlHost,
		outside: func(f *fixture) (map[string]bool, string) {
			if os.Geteuid() != 0 && f.backend.Info().Name == controlHost {
				return nil, "who is not root can make nobody root"
			}
			return map[string]bool{"uid": f.hostUID() == 0}, ""
		}},
	{guarantee: sandbox.UIDMapped, name: "uid that owns something", omit: "idmap",
		outside: func(f *fixture) (map[string]bool, string) {
			if os.Geteuid() != 0 {
				return nil, "an ordinary user has no range of ids"
			}
			// What the ids below 65536 own on hosts is not to be known; what lies above
			// the ranges of every other tool is nobody's.
			const others = 1879048192
			return map[string]bool{"uid": f.hostUID() < others}, ""
		}},
	{guarantee: sandbox.DiesWhole, name: "leave a daemon behind", omit: controlHost,
		outside: func(f *fixture) (map[string]bool, string) {
			word := "daemon-" + f.spec.ID
			f.ok("daemon", word)
			f.eventually("the daemon's start", func() bool { return len(hostPIDs(word)) > 0 })
			if err := f.sandbox().Destroy(context.Background()); err != nil {
				f.Fatal(err)
			}
			left := hostPIDs(word)
			for _, pid := range left { // the control's: ours to end
				n, err := strconv.Atoi(pid)
				if err == nil {
					syscall.Kill(n, syscall.SIGKILL)
				}
			}
			return map[string]bool{"daemon": len(left) > 0}, ""
		}},
	{guarantee: sandbox.GuestProtected, name: "signal the guest", omit: controlHost,
		outside: func(f *fixture) (map[string]bool, string) {
			// In the control every signal would go to the host's own processes; whether
			// they can be reached is asked with signal 0 and the suite's own process.
			if f.backend.Info().Name == controlHost {
				return map[string]bool{"reach": readVerdicts(f, []string{"attack-pids", f.probe, strconv.Itoa(os.Getpid())})["signal"]}, ""
			}
			// While it forks, too: with signals blocked for a moment the kernel treats it as
			// any other process.
			flood := f.start(f.cmd("flood-guest"))
			for range 40 {
				p, err := f.sandbox().Start(f.ctx, f.cmd("exit", "3"))
				if err != nil {
					f.Log(err)
					return map[string]bool{"reach": true}, ""
				}
				f.want("status", f.wait(p).Code, 3)
			}
			flood.Signal(f.ctx, syscall.SIGKILL)
			f.wait(flood)
			f.wait(f.start(f.cmd("attack-signals")))
			p, err := f.sandbox().Start(f.ctx, f.cmd("exit", "3"))
			if err != nil {
				f.Log(err)
				return map[string]bool{"reach": true}, ""
			}
			exit := f.wait(p)
			f.Logf("%+v", exit)
			return map[string]bool{"reach": exit.Code != 3}, ""
		}},
}

// hostUID returns the uid that a program of the sandbox has on the host.
func (f *fixture) hostUID() int {
	f.Helper()
	uid, err := strconv.Atoi(strings.Fields(f.hostStatus("Uid"))[0])
	if err != nil {
		f.Fatal(err)
	}
	return uid
}
