package conformance

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// attacks are all attacks: at least two mechanisms against each guarantee.
var attacks = slices.Concat(firstAttacks, secondAttacks, outsideAttacks, outsideSecond, memoryAttacks)

// firstAttacks are those that one probe can carry out. Those whose outcome is seen from
// the host are in attacks_outside.go.
var firstAttacks = []attack{
	{guarantee: sandbox.HostFSHidden, name: "read a file of the host", omit: "rootfs", optional: []string{
		"read_proc_1_cwd", "read_proc_self_fd_0_.._.._.._..", "read_proc_1_root"},
		prepare: func(f *fixture) ([]string, string) {
			return []string{"attack-read", f.write("secret", "the secret"), "the secret"}, ""
		}},
	{guarantee: sandbox.ROHonoured, name: "write to a read-only mount", omit: "ro", optional: []string{"remount", "create", "remove"},
		prepare: func(f *fixture) ([]string, string) {
			path := f.write("given/file", "text")
			if err := os.Chmod(path, 0o666); err != nil {
				f.Fatal(err)
			}
			if len(f.spec.Mounts) == 1 {
				f.mount(sandbox.Mount{Source: filepath.Dir(path), Mode: sandbox.MountReadOnly})
			}
			return []string{"attack-write", path}, ""
		}},
	{guarantee: sandbox.HostPIDsHidden, name: "see and signal a host process", omit: "pidns",
		prepare: func(f *fixture) ([]string, string) {
			word := "canary-" + f.spec.ID
			cmd := exec.Command(f.probe, "say", word)
			cmd.Dir = f.dir
			if err := cmd.Start(); err != nil {
				f.Fatal(err)
			}
			f.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			return []string{"attack-pids", word, strconv.Itoa(cmd.Process.Pid)}, ""
		}},
	{guarantee: sandbox.IPCHidden, name: "attach host shared memory", omit: "ipcns",
		prepare: func(f *fixture) ([]string, string) {
			key := 0x72770000 | os.Getpid()&0xffff
			id, err := unix.SysvShmGet(key, 4096, unix.IPC_CREAT|0o666)
			if err != nil {
				return nil, "no System V shared memory: " + err.Error()
			}
			f.Cleanup(func() { unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
			return []string{"attack-shm", strconv.Itoa(key)}, ""
		}},
	{guarantee: sandbox.IPCHidden, name: "connect to an abstract socket", omit: "netns",
		prepare: func(f *fixture) ([]string, string) {
			l, err := net.Listen("unix", "@ringwall-test-"+f.spec.ID)
			if err != nil {
				f.Fatal(err)
			}
			f.Cleanup(func() { l.Close() })
			go echo(l)
			return []string{"attack-dial", "unix", l.Addr().String()}, ""
		}},
	{guarantee: sandbox.NoNewPrivs, name: "flag", omit: "nosuid",
		prepare: func(*fixture) ([]string, string) { return []string{"attack-nnp"}, "" }},
	{guarantee: sandbox.NoNewPrivs, name: "run a set-user-id program", omit: "nosuid",
		prepare: func(f *fixture) ([]string, string) {
			if os.Geteuid() != 0 {
				return nil, "with a single uid there is none to become"
			}
			return []string{"attack-setuid", f.copyProbe("setuid", 0o755|os.ModeSetuid)}, ""
		}},
	{guarantee: sandbox.CapsDropped, name: "use capabilities", omit: "caps",
		prepare: func(*fixture) ([]string, string) { return []string{"attack-caps"}, "" }},
	{guarantee: sandbox.SyscallsFiltered, name: "make refused system calls", omit: "seccomp", optional: []string{"af_alg", "af_vsock",
		"io_uring", "userfaultfd", "netlink_netfilter", "int80"},
		prepare: func(*fixture) ([]string, string) { return []string{"attack-calls"}, "" }},
	{guarantee: sandbox.DevicesHidden, name: "open and make devices", omit: "dev", optional: []string{"mknod", "open"},
		prepare: func(f *fixture) ([]string, string) { return []string{"attack-device", "/dev/kmsg"}, "" }},
	{guarantee: sandbox.NetDefaultDeny, name: "connect to a listener of the host", omit: "netns",
		prepare: func(f *fixture) ([]string, string) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				f.Fatal(err)
			}
			f.Cleanup(func() { l.Close() })
			go echo(l)
			u, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				f.Fatal(err)
			}
			f.Cleanup(func() { u.Close() })
			go echoPackets(u)
			return []string{"attack-dial", "tcp", l.Addr().String(), "udp", u.LocalAddr().String()}, ""
		}},
	{guarantee: sandbox.NetDefaultDeny, name: "find another link", omit: "netns",
		prepare: func(f *fixture) ([]string, string) {
			if all, err := net.Interfaces(); err != nil || len(all) < 2 {
				return nil, "this host has no link but loopback either"
			}
			return []string{"attack-links"}, ""
		}},
	{guarantee: sandbox.GuestProtected, name: "read and trace the guest", omit: "nodump",
		prepare: func(*fixture) ([]string, string) { return []string{"attack-guest"}, "" }},
	{guarantee: sandbox.SecretsAbsent, name: "find the caller's environment", omit: controlHost,
		prepare: func(f *fixture) ([]string, string) {
			raw, err := os.ReadFile("/proc/self/environ")
			if err != nil {
				f.Fatal(err)
			}
			for _, kv := range strings.Split(string(raw), "\x00") {
				if key, value, _ := strings.Cut(kv, "="); key != "PATH" && len(value) > 3 {
					return []string{"attack-environ", kv}, ""
				}
			}
			return nil, "the test has no environment"
		}},
}

// echo answers every connection with what it sends.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { io.Copy(c, c); c.Close() }()
	}
}

func echoPackets(p net.PacketConn) {
	buf := make([]byte, 64)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		p.WriteTo(buf[:n], from)
	}
}
