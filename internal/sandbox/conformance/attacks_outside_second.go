package conformance

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// outsideSecond go for the guarantees of outsideAttacks by other mechanisms.
var outsideSecond = []attack{
	{guarantee: sandbox.HostFSHidden, name: "swap what is shown for a link", omit: "links",
		outside: func(f *fixture) (map[string]bool, string) { return map[string]bool{"race": f.swapSource()}, "" }},
	{guarantee: sandbox.NotHostRoot, name: "groups of a program on the host", omit: controlHost,
		outside: func(f *fixture) (map[string]bool, string) {
			if os.Geteuid() != 0 && f.backend.Info().Name == controlHost {
				return nil, "who is not root can make nobody root"
			}
			groups := strings.Fields(f.hostStatus("Gid") + " " + f.hostStatus("Groups"))
			return map[string]bool{"group": slices.Contains(groups, "0")}, ""
		}},
	{guarantee: sandbox.UIDMapped, name: "ids of a neighbour", omit: "idmap",
		outside: func(f *fixture) (map[string]bool, string) {
			if os.Geteuid() != 0 {
				return nil, "an ordinary user has no range of ids"
			}
			neighbour := newFixture(f.T, f.target, f.backend)
			return map[string]bool{"same": f.hostUID() == neighbour.hostUID()}, ""
		}},
	{guarantee: sandbox.DiesWhole, name: "outrun the end", omit: controlHost,
		outside: func(f *fixture) (map[string]bool, string) {
			broken := false
			for range 5 {
				round := newFixture(f.T, f.target, f.backend)
				word := "relay-" + round.spec.ID
				round.ok("relay", word, strconv.FormatInt(time.Now().Unix()+5, 10))
				round.eventually("the relay's start", func() bool { return len(hostPIDs(word)) > 0 })
				if err := round.sandbox().Destroy(context.Background()); err != nil {
					f.Fatal(err)
				}
				time.Sleep(20 * time.Millisecond)
				broken = broken || len(hostPIDs(word)) > 0
				if broken { // the control's ends by itself
					round.eventually("the relay's end", func() bool { return len(hostPIDs(word)) == 0 })
					break
				}
			}
			return map[string]bool{"relay": broken}, ""
		}},
	{guarantee: sandbox.DiesWhole, name: "be stopped, with a zombie", omit: controlHost,
		outside: func(f *fixture) (map[string]bool, string) {
			word := "stopped-" + f.spec.ID
			f.ok("stopped", word)
			if err := f.sandbox().Destroy(context.Background()); err != nil {
				f.Fatal(err)
			}
			left := hostPIDs(word)
			for _, pid := range left { // the control's: ours to end
				if n, err := strconv.Atoi(pid); err == nil {
					syscall.Kill(n, syscall.SIGKILL)
				}
			}
			return map[string]bool{"stopped": len(left) > 0}, ""
		}},
}

// swapSource creates sandboxes that are to show a directory while somebody who may write
// beside it keeps swapping it for a link to another one. It reports whether one of them
// showed that.
func (f *fixture) swapSource() bool {
	f.Helper()
	given, link := filepath.Join(f.dir, "shared", "given"), filepath.Join(f.dir, "shared", "link")
	f.write("shared/given/file", "given")
	secret := filepath.Dir(f.write("elsewhere/file", "the secret"))
	if err := os.Symlink(secret, link); err != nil {
		f.Fatal(err)
	}
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, given, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	shown := 0
	for range 40 {
		round := newFixture(f.T, f.target, f.backend)
		round.mount(sandbox.Mount{Source: given, Mode: sandbox.MountReadOnly})
		box, err := f.backend.Create(f.ctx, round.spec)
		if err != nil {
			continue // refused, which is as good
		}
		round.box = box
		round.boxOnce.Do(func() {})
		out := round.run(round.cmd("read", filepath.Join(given, "file"))).stdout
		if err := box.Destroy(context.Background()); err != nil {
			f.Fatal(err)
		}
		if out == "the secret" {
			return true
		}
		shown++
	}
	if shown == 0 {
		f.Fatal("no sandbox could be made: nothing was tried")
	}
	return false
}

// hostStatus returns a line of the status that a program of the sandbox has on the host.
func (f *fixture) hostStatus(key string) string {
	f.Helper()
	word := key + "-" + f.spec.ID
	p := f.start(f.cmd("say", word))
	f.eventually("the program's start", func() bool { return len(hostPIDs(word)) > 0 })
	line := statusLine(f, "/proc/"+hostPIDs(word)[0], key)
	if err := p.Signal(f.ctx, syscall.SIGKILL); err != nil {
		f.Fatal(err)
	}
	f.wait(p)
	return line
}
