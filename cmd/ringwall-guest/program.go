package main

import (
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/guest"
)

// programs are the started programs that have not ended. Its reaper waits for them
// and for every orphan of the sandbox.
type programs struct {
	mu     sync.Mutex
	forked *sync.Cond  // signalled when there may be a child to wait for
	byPID  map[int]int // pid to id
	byID   map[int]int // id to pid
}

func (p *programs) init(g *guestState) {
	p.forked = sync.NewCond(&p.mu)
	p.byPID, p.byID = map[int]int{}, map[int]int{}
	go p.reap(g)
}

// start carries out a KindStart.
func (g *guestState) start(payload []byte, fds []int) {
	defer guest.CloseAll(fds)
	m, err := guest.DecodeStart(payload)
	if err != nil {
		os.Exit(exitBroken)
	}
	pid, f := g.programs.start(m, fds)
	if f != nil {
		g.send(guest.KindFailed, f.message(m.ID).Encode())
		return
	}
	// The reaper may have said already that it ended; the host takes both orders.
	g.send(guest.KindStarted, guest.Started{ID: m.ID, PID: pid}.Encode())
}

func (p *programs) start(m guest.Start, fds []int) (int, *failure) {
	files, opened, f := standardFiles(m, fds)
	defer guest.CloseAll(opened)
	if f != nil {
		return 0, f
	}
	if len(m.Args) == 0 {
		return 0, fail("exec", "", unix.EINVAL)
	}
	if f := checkDir(m.Dir); f != nil {
		return 0, f
	}
	path, f := lookUp(m.Args[0], m.Env, m.Dir)
	if f != nil {
		return 0, f
	}
	attr := &syscall.ProcAttr{Dir: m.Dir, Env: m.Env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true}}
	if unix.Getpid() != 1 {
		attr.Sys.Pdeathsig = syscall.SIGKILL // a control without PID namespace
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pid, err := syscall.ForkExec(path, m.Args, attr)
	if err != nil {
		return 0, execFailure(path, err)
	}
	p.byPID[pid], p.byID[m.ID] = m.ID, pid
	p.forked.Signal()
	return pid, nil
}

// standardFiles pairs the attached descriptors with the program's 0, 1 and 2.
// What it had to open itself is returned for closing.
func standardFiles(m guest.Start, fds []int) (files []uintptr, opened []int, f *failure) {
	for i, null := range m.Null {
		switch {
		case null:
			flags := unix.O_RDWR
			if i == 0 {
				flags = unix.O_RDONLY
			}
			fd, err := unix.Open("/dev/null", flags|unix.O_CLOEXEC, 0)
			if err != nil {
				return nil, opened, fail("stdio", "/dev/null", err)
			}
			opened = append(opened, fd)
			files = append(files, uintptr(fd))
		case len(fds) == 0:
			return nil, opened, fail("stdio", "a descriptor is missing", unix.EBADF)
		default:
			files = append(files, uintptr(fds[0]))
			fds = fds[1:]
		}
	}
	return files, opened, nil
}

func checkDir(dir string) *failure {
	if !strings.HasPrefix(dir, "/") {
		return fail("chdir", dir, unix.EINVAL)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail("chdir", dir, err)
	}
	unix.Close(fd)
	return fail("chdir", dir, unix.Access(dir, unix.X_OK))
}

// lookUp finds the program as execvp(3) does: a name without slash on the PATH of
// its own environment.
func lookUp(name string, env []string, dir string) (string, *failure) {
	if name == "" {
		return "", fail("find", name, unix.ENOENT)
	}
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := "/usr/local/bin:/usr/bin:/bin"
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	found := unix.ENOENT
	for _, d := range strings.Split(path, ":") {
		if d == "" {
			d = "."
		}
		if !strings.HasPrefix(d, "/") {
			d = dir + "/" + d
		}
		candidate := d + "/" + name
		var st unix.Stat_t
		if unix.Stat(candidate, &st) != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
			continue
		}
		if unix.Access(candidate, unix.X_OK) == nil {
			return candidate, nil
		}
		found = unix.EACCES
	}
	if found == unix.EACCES {
		return "", fail("exec", name, found)
	}
	return "", fail("find", name, found)
}

// execFailure tells a program that does not exist ("find") from one that cannot be
// run ("exec"). execve(2) gives ENOENT also when the interpreter is missing.
func execFailure(path string, err error) *failure {
	var st unix.Stat_t
	if errors.Is(err, unix.ENOENT) {
		if unix.Stat(path, &st) != nil {
			return fail("find", path, err)
		}
		return fail("exec", path+": its interpreter or loader is not there", err)
	}
	if errors.Is(err, unix.ENOTDIR) {
		return fail("find", path, err)
	}
	return fail("exec", path, err)
}

// signal sends sig to the process group that program id leads, or to the program
// alone should it have left that group.
func (p *programs) signal(id int, sig unix.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pid, ok := p.byID[id]; ok {
		if unix.Kill(-pid, sig) != nil {
			unix.Kill(pid, sig)
		}
	}
}

// reap waits for children for ever: our programs and adopted orphans.
func (p *programs) reap(g *guestState) {
	for {
		// First without reaping: until it is reaped under the lock, the pid is not
		// used again and signal cannot hit another process.
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil)
		p.mu.Lock()
		if err == unix.ECHILD {
			for len(p.byPID) == 0 { // a program may have been started since
				p.forked.Wait()
			}
			p.mu.Unlock()
			continue
		}
		var status unix.WaitStatus
		var usage unix.Rusage
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, &usage)
		id, ours := p.byPID[pid]
		if ours {
			delete(p.byPID, pid)
			delete(p.byID, id)
		}
		p.mu.Unlock()
		if err == nil && ours {
			g.send(guest.KindExited, exited(id, status, usage).Encode())
		}
	}
}

func exited(id int, status unix.WaitStatus, usage unix.Rusage) guest.Exited {
	m := guest.Exited{ID: id, UserNS: usage.Utime.Nano(), SystemNS: usage.Stime.Nano(), MaxRSS: usage.Maxrss << 10}
	if status.Signaled() {
		m.Signal = int(status.Signal())
	} else {
		m.Status = status.ExitStatus()
	}
	return m
}
