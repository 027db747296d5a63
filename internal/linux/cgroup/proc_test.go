package cgroup

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// hosts are what kinds of hosts say in /proc/self/cgroup and /proc/self/mountinfo,
// and where groups could be made there.
var hosts = []struct {
	name, self, mounts string
	root               bool
	want               []string // MOUNT: candidates
}{
	{
		name:   "v2, root in an ssh session",
		self:   "0::/user.slice/user-0.slice/session-3.scope\n",
		mounts: "24 29 0:21 / /proc rw,nosuid - proc proc rw\n35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
		root:   true,
		want:   []string{"v2 /sys/fs/cgroup: /sys/fs/cgroup/user.slice/user-0.slice/session-3.scope +/sys/fs/cgroup/ringwall"},
	},
	{
		name:   "v2, delegated by the user's systemd",
		self:   "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope\n",
		mounts: "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
		want: []string{"v2 /sys/fs/cgroup: /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope" +
			" /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice"},
	},
	{
		name: "v1, systemd 241",
		self: "11:pids:/user.slice/user-1000.slice/session-1.scope\n10:cpu,cpuacct:/user.slice\n9:memory:/user.slice\n" +
			"3:freezer:/\n2:cpuset:/\n1:name=systemd:/user.slice/user-1000.slice/session-1.scope\n",
		mounts: "28 24 0:25 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,xattr,name=systemd\n" +
			"33 24 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:14 - cgroup cgroup rw,cpu,cpuacct\n" +
			"34 24 0:30 / /sys/fs/cgroup/memory rw shared:15 - cgroup cgroup rw,memory\n" +
			"35 24 0:31 / /sys/fs/cgroup/net_cls rw shared:16 - cgroup cgroup rw,net_cls\n",
		want: []string{"cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct: /sys/fs/cgroup/cpu,cpuacct/user.slice",
			"memory /sys/fs/cgroup/memory: /sys/fs/cgroup/memory/user.slice"},
	},
	{
		name: "hybrid, root",
		self: "8:pids:/\n4:memory:/process_api/6ab4\n0::/\n",
		mounts: "35 31 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" +
			"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
		root: true,
		want: []string{"memory /sys/fs/cgroup/memory: /sys/fs/cgroup/memory/process_api/6ab4 +/sys/fs/cgroup/memory/ringwall",
			"v2 /sys/fs/cgroup/unified: +/sys/fs/cgroup/unified/ringwall"},
	},
	{
		name:   "v2, inside Docker with a cgroup namespace",
		self:   "0::/\n",
		mounts: "700 699 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n",
		root:   true,
		want:   []string{"v2 /sys/fs/cgroup: +/sys/fs/cgroup/ringwall"},
	},
	{
		name:   "v1, inside Docker without a cgroup namespace",
		self:   "9:memory:/docker/0a1b\n",
		mounts: "700 699 0:30 /docker/0a1b /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory\n",
		want:   []string{"memory /sys/fs/cgroup/memory: /sys/fs/cgroup/memory"},
	},
	{
		name:   "v1, another container's mount",
		self:   "9:memory:/docker/0a1bc\n",
		mounts: "700 699 0:30 /docker/0a1b /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n",
		want:   []string{"memory /sys/fs/cgroup/memory:"},
	},
	{
		name:   "v2, a mount from outside of the cgroup namespace",
		self:   "0::/\n",
		mounts: "700 699 0:30 /../../.. /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
		want:   []string{"v2 /sys/fs/cgroup:"},
	},
	{
		name:   "v2, a group outside of the cgroup namespace",
		self:   "0::/../elsewhere\n",
		mounts: "700 699 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
		want:   []string{"v2 /sys/fs/cgroup:"},
	},
	{
		name:   "colons and escapes",
		self:   "0::/a:b c\n",
		mounts: "700 699 0:30 / /mnt/x\\040y rw - cgroup2 - rw\n",
		want:   []string{"v2 /mnt/x y: /mnt/x y/a:b c /mnt/x y"},
	},
	{
		name:   "nothing, and what cannot be understood",
		self:   "\nx\n1:2\n",
		mounts: "\n - cgroup\n1 2 - cgroup2 x\n700 699 0:30 / /x rw - cgrouped x rw,memory\n",
	},
}

func TestCandidates(t *testing.T) {
	for _, h := range hosts {
		own := parseSelf(h.self)
		var got []string
		for _, m := range parseMounts(h.mounts) {
			kind, group := "v2", own[""]
			if !m.v2 {
				kind, group = strings.Join(m.controllers, ","), own[m.controllers[0]]
			}
			line := kind + " " + m.point + ":"
			for _, c := range m.candidates(group, h.root) {
				line += " "
				if c.fixed {
					line += "+"
				}
				line += c.dir
			}
			got = append(got, line)
		}
		if !reflect.DeepEqual(got, h.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", h.name, got, h.want)
		}
	}
}

func TestParseSelf(t *testing.T) {
	got := parseSelf("10:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c:d\n")
	want := map[string]string{"cpu": "/a", "cpuacct": "/a", "name=systemd": "/b", "": "/c:d"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFindNothing(t *testing.T) {
	for _, h := range hosts {
		// No path of these exists here, or it is no cgroup file system.
		for i, mounts := 0, parseMounts(h.mounts); i < len(mounts); i++ {
			mounts[i].point = "/nowhere" + mounts[i].point
			if _, err := find(parseSelf(h.self), mounts[i:i+1], h.root); !errors.Is(err, ErrNone) {
				t.Errorf("%s: %v, want ErrNone", h.name, err)
			}
		}
	}
	if _, err := find(nil, nil, true); !errors.Is(err, ErrNone) {
		t.Errorf("no mounts: %v, want ErrNone", err)
	}
	tmp := []mount{{v2: true, root: "/", point: t.TempDir()}}
	if _, err := find(map[string]string{"": "/"}, tmp, true); !errors.Is(err, ErrNone) || !errors.Is(err, errType) {
		t.Errorf("another file system: %v, want errType", err)
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		text, key string
		want      int64
		ok        bool
	}{
		{"4096\n", "", 4096, true},
		{"max\n", "", 0, false},
		{"", "", 0, false},
		{"usage_usec 12\nuser_usec 7\n", "user_usec", 7, true},
		{"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill", 3, true},
		{"oom_kill_disable 0\nunder_oom 0\n", "oom_kill", 0, false}, // before Linux 4.13
	} {
		if got, ok := number(c.text, c.key); got != c.want || ok != c.ok {
			t.Errorf("number(%q, %q) = %d, %v", c.text, c.key, got, ok)
		}
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{"abc234": true, "": false, "a/b": false, "../x": false, "a\n": false, strings.Repeat("x", 247): false} {
		if validName(name) != ok {
			t.Errorf("validName(%q) = %v", name, !ok)
		}
	}
	p := &Place{hierarchies: []hierarchy{{v2: true, parent: "/u"}, {parent: "/m"}}}
	if got, want := p.Paths("x"), []string{"/u/ringwall-x", "/m/ringwall-x"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Paths = %q, want %q", got, want)
	}
	if p.Version() != "hybrid" {
		t.Errorf("Version = %s", p.Version())
	}
}

func TestRemoveRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/ringwall-x", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/sys/fs/cgroup", dir+"/ringwall-link"); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{
		dir + "/ringwall-x", dir + "/ringwall-link", "/sys/fs/cgroup", "/sys/fs/cgroup/ringwall-", "ringwall-x",
		"/sys/fs/cgroup/../cgroup/ringwall-x", "/sys/fs/cgroup/ringwall-x/", "/", "",
	} {
		if err := Remove([]string{p}); !errors.Is(err, ErrRefused) {
			t.Errorf("Remove(%q) = %v, want ErrRefused", p, err)
		}
	}
	if _, err := os.Stat(dir + "/ringwall-x"); err != nil {
		t.Error(err)
	}
	if err := Remove([]string{"/nowhere/ringwall-x", dir + "/nowhere/ringwall-x"}); err != nil {
		t.Errorf("what does not exist: %v", err)
	}
}
