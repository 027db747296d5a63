package conformance

import (
	"encoding/hex"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// secondAttacks go for the same guarantees by other mechanisms.
var secondAttacks = []attack{
	{guarantee: sandbox.HostFSHidden, name: "open a file by its handle", omit: controlHost,
		prepare: func(f *fixture) ([]string, string) {
			path := f.write("secret", "the secret")
			if os.Geteuid() != 0 {
				return nil, "a handle takes CAP_DAC_READ_SEARCH on the host"
			}
			h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
			if err != nil {
				return nil, "this file system has no handles: " + err.Error()
			}
			return []string{"attack-handle", strconv.Itoa(int(h.Type())), hex.EncodeToString(h.Bytes()), f.project, "the secret"}, ""
		}},
	{guarantee: sandbox.HostFSHidden, name: "climb out of a directory", omit: "rootfs", optional: []string{"root", "cwd", "fd", "task"},
		prepare: func(f *fixture) ([]string, string) {
			return []string{"attack-climb", f.write("secret", "the secret"), "the secret"}, ""
		}},
	{guarantee: sandbox.IPCHidden, name: "connect to a socket file", omit: "rootfs",
		prepare: func(f *fixture) ([]string, string) {
			path := filepath.Join(f.dir, "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				return nil, "this directory takes no socket: " + err.Error()
			}
			f.Cleanup(func() { l.Close() })
			go echo(l)
			if err := os.Chmod(path, 0o777); err != nil {
				f.Fatal(err)
			}
			return []string{"attack-dial", "unix", path}, ""
		}},
	{guarantee: sandbox.DevicesHidden, name: "look for device nodes everywhere", omit: "dev",
		prepare: func(*fixture) ([]string, string) { return []string{"attack-walk"}, "" }},
	{guarantee: sandbox.ROHonoured, name: "change a read-only file without opening it", omit: "ro", optional: []string{"setxattr", "rename", "reopen"},
		prepare: func(f *fixture) ([]string, string) {
			path := f.write("given/file", "text")
			f.mount(sandbox.Mount{Source: filepath.Dir(path), Mode: sandbox.MountReadOnly})
			return []string{"attack-metadata", path}, ""
		}},
	{guarantee: sandbox.HostPIDsHidden, name: "take hold of a host process", omit: "pidns",
		prepare: func(f *fixture) ([]string, string) {
			cmd := exec.Command(f.probe, "sleep")
			if err := cmd.Start(); err != nil {
				f.Fatal(err)
			}
			f.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			return []string{"attack-pidfd", strconv.Itoa(cmd.Process.Pid)}, ""
		}},
	{guarantee: sandbox.IPCHidden, name: "find semaphores and queues", omit: "ipcns",
		prepare: func(f *fixture) ([]string, string) {
			key := 0x72780000 | os.Getpid()&0xffff
			sem, _, errno := unix.Syscall(unix.SYS_SEMGET, uintptr(key), 1, unix.IPC_CREAT|0o666)
			if errno != 0 {
				return nil, "no System V semaphores: " + errno.Error()
			}
			f.Cleanup(func() { unix.Syscall6(unix.SYS_SEMCTL, sem, 0, unix.IPC_RMID, 0, 0, 0) })
			msg, _, errno := unix.Syscall(unix.SYS_MSGGET, uintptr(key), unix.IPC_CREAT|0o666, 0)
			if errno != 0 {
				return nil, "no System V messages: " + errno.Error()
			}
			f.Cleanup(func() { unix.Syscall(unix.SYS_MSGCTL, msg, unix.IPC_RMID, 0) })
			name := append([]byte("ringwall-"+f.spec.ID), 0)
			umask := unix.Umask(0)
			queue, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(&name[0])), unix.O_RDWR|unix.O_CREAT, 0o666, 0, 0, 0)
			unix.Umask(umask)
			if errno != 0 {
				return nil, "no POSIX message queues: " + errno.Error()
			}
			f.Cleanup(func() {
				unix.Close(int(queue))
				unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(&name[0])), 0, 0)
			})
			return []string{"attack-queues", strconv.Itoa(key), "ringwall-" + f.spec.ID}, ""
		}},
	{guarantee: sandbox.NoNewPrivs, name: "find a mount where set-user-id counts", omit: "nosuid",
		prepare: func(*fixture) ([]string, string) { return []string{"attack-mounts"}, "" }},
	{guarantee: sandbox.NoNewPrivs, name: "run a set-group-id program", omit: "nosuid",
		prepare: func(f *fixture) ([]string, string) {
			if os.Geteuid() != 0 {
				return nil, "with a single gid there is none to become"
			}
			return []string{"attack-setgid", f.copyProbe("setgid", 0o755|os.ModeSetgid)}, ""
		}},
	{guarantee: sandbox.NoNewPrivs, name: "leave a set-user-id file on the host", omit: "seccomp", optional: []string{"fchmodat2"},
		prepare: func(f *fixture) ([]string, string) {
			path := f.write("given/file", "text")
			f.mount(sandbox.Mount{Source: filepath.Dir(path), Mode: sandbox.MountReadWrite})
			return []string{"attack-setid", filepath.Dir(path)}, ""
		}},
	{guarantee: sandbox.CapsDropped, name: "act with capabilities", omit: "caps",
		prepare: func(*fixture) ([]string, string) { return []string{"attack-netadmin"}, "" }},
	{guarantee: sandbox.SyscallsFiltered, name: "call by another ABI", omit: "seccomp",
		prepare: func(*fixture) ([]string, string) {
			if !twoABIs {
				return nil, "this processor has one ABI"
			}
			return []string{"attack-abi"}, ""
		}},
	{guarantee: sandbox.SyscallsFiltered, name: "make namespaces", omit: "seccomp",
		prepare: func(*fixture) ([]string, string) { return []string{"attack-namespaces"}, "" }},
	{guarantee: sandbox.DevicesHidden, name: "open a device node in the project", omit: controlHost,
		prepare: func(f *fixture) ([]string, string) {
			if os.Geteuid() != 0 {
				return nil, "device nodes are made by root"
			}
			path := filepath.Join(f.project, "node")
			const memory = 1 // the major number of /dev/null, /dev/kmsg and the like
			if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(memory, 3))); err != nil {
				return nil, "no device can be made: " + err.Error()
			}
			if err := unix.Chmod(path, 0o666); err != nil {
				f.Fatal(err)
			}
			return []string{"attack-node", path}, ""
		}},
	{guarantee: sandbox.PIDsCapped, name: "fork", omit: "pids",
		prepare: func(*fixture) ([]string, string) { return []string{"attack-fork", "1100"}, "" }},
	{guarantee: sandbox.PIDsCapped, name: "raise the limit", omit: "pids",
		prepare: func(*fixture) ([]string, string) { return []string{"attack-limit", "2000"}, "" }},
	{guarantee: sandbox.GuestProtected, name: "take the guest's socket", omit: "nodump",
		prepare: func(*fixture) ([]string, string) { return []string{"attack-getfd"}, "" }},
	{guarantee: sandbox.SecretsAbsent, name: "search the caller's home", omit: "rootfs",
		prepare: func(f *fixture) ([]string, string) {
			f.write("home/.config/tool/token", "canary-"+f.spec.ID)
			f.spec.User.Home = filepath.Join(f.dir, "home")
			return []string{"attack-home", f.spec.User.Home, "canary-" + f.spec.ID}, ""
		}},
}

// copyProbe puts a copy of the probe into the project, another user's and of mode.
func (f *fixture) copyProbe(name string, mode os.FileMode) string {
	f.Helper()
	program, err := os.ReadFile(f.probe)
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.project, name)
	if err := os.WriteFile(path, program, 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.Chown(path, 4321, 4321); err != nil {
		f.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		f.Fatal(err)
	}
	return path
}
