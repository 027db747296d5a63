package ns

import (
	"syscall"
	"testing"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// through translates an id on disk to what the program sees, or -1.
func through(m idMaps, disk int) int {
	for _, d := range m.disk {
		if disk < d.ContainerID || disk >= d.ContainerID+d.Size {
			continue
		}
		onHost := d.HostID + disk - d.ContainerID
		for _, s := range m.sandbox {
			if onHost >= s.HostID && onHost < s.HostID+s.Size {
				return s.ContainerID + onHost - s.HostID
			}
		}
	}
	return -1
}

func TestOwnRange(t *testing.T) {
	for _, c := range []struct{ owner, want, inside int }{{0, asOwner, 1000}, {1, asOwner, 1}, {1000, asOwner, 1000},
		{65534, asOwner, 65534}, {65535, asOwner, 65535}, {65536, asOwner, 65536}, {3000000, asOwner, 3000000},
		{0, 0, 0}, {1000, 0, 0}, {0, 5, 5}, {7, 5, 5}, {5, 7, 7}, {65535, 0, 0}, {0, 65535, 65535}, {3000000, 0, 0}, {3000000, 9, 9}} {
		m := ownRange(firstBase, c.owner, c.want)
		if m.inside != c.inside {
			t.Errorf("owner %d: the program is %d, want %d", c.owner, m.inside, c.inside)
		}
		if got := through(m, c.owner); got != c.inside {
			t.Errorf("owner %d appears as %d, want the program's own %d", c.owner, got, c.inside)
		}
		seen := map[int]bool{c.inside: true}
		for disk := range rangeSize {
			in := through(m, disk)
			if in < 0 || disk == c.owner {
				continue
			}
			if seen[in] {
				t.Fatalf("owner %d: two ids on disk appear as %d", c.owner, in)
			}
			seen[in] = true
		}
		if len(seen) < rangeSize-1 {
			t.Errorf("owner %d: only %d ids are mapped", c.owner, len(seen))
		}
		for _, maps := range [][]syscall.SysProcIDMap{m.sandbox, m.disk} {
			for _, e := range maps {
				if e.Size < 1 || e.HostID < firstBase || e.HostID+e.Size > firstBase+rangeSize {
					t.Errorf("owner %d: %+v leaves the range", c.owner, e)
				}
			}
		}
	}
	if got := through(ownRange(firstBase, 0, asOwner), 1000); got != 0 {
		t.Errorf("owner 0: id 1000 on disk appears as %d, want 0", got)
	}
}

func TestOrdinaryUserHasOneID(t *testing.T) {
	id := identify(sandbox.User{UID: 1000, GID: 100}, sandbox.User{UID: 5, GID: 5}, nil, 0)
	want := syscall.SysProcIDMap{ContainerID: 1000, HostID: 1000, Size: 1}
	if id.mapped || id.uids.inside != 1000 || len(id.uids.sandbox) != 1 || id.uids.sandbox[0] != want || id.gids.inside != 100 {
		t.Errorf("%+v", id)
	}
}

func TestOrdinaryUserUnderAnotherID(t *testing.T) {
	id := identify(sandbox.User{UID: 1000, GID: 100}, sandbox.User{}, &sandbox.IDs{}, 0)
	want := syscall.SysProcIDMap{ContainerID: 0, HostID: 1000, Size: 1}
	if id.uids.inside != 0 || len(id.uids.sandbox) != 1 || id.uids.sandbox[0] != want || id.uids.onHost() != 1000 || id.gids.onHost() != 100 {
		t.Errorf("%+v", id)
	}
}

func TestGitconfigCannotBeInjected(t *testing.T) {
	got := gitconfig(sandbox.User{GitName: "A \"B\" \\ \n[core]\n\tfsmonitor = evil", GitEmail: "a@b"})
	want := "[user]\n\tname = \"A \\\"B\\\" \\\\  [core]  fsmonitor = evil\"\n\temail = \"a@b\"\n[safe]\n\tdirectory = *\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
