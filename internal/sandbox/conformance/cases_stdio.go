package conformance

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/testenv"
)

// streamCases check that bytes arrive, all of them, unchanged.
var streamCases = []testCase{
	{"output is separate and complete", func(f *fixture) {
		const size = 8 << 20
		o := f.run(f.cmd("flood", "8388608"))
		pattern := make([]byte, 4096)
		for i := range pattern {
			pattern[i] = byte(i * 7)
		}
		want := strings.Repeat(string(pattern), size/4096)
		f.want("stdout is the pattern", o.stdout == want, true)
		f.want("stderr is the pattern", o.stderr == want, true)
	}},
	{"input arrives", func(f *fixture) {
		data := bytes.Repeat([]byte("0123456789abcdef\x00\xff"), 100000)
		r, w, err := os.Pipe()
		if err != nil {
			f.Fatal(err)
		}
		defer r.Close()
		go func() { w.Write(data); w.Close() }()
		c := f.cmd("cat")
		c.Stdin = r
		f.want("came back", f.run(c).stdout == string(data), true)
	}},
	{"input from a file and a socket", func(f *fixture) {
		file, err := os.Open(f.write("input", "from a file"))
		if err != nil {
			f.Fatal(err)
		}
		defer file.Close()
		c := f.cmd("cat")
		c.Stdin = file
		f.want("file", f.run(c).stdout, "from a file")

		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			f.Fatal(err)
		}
		near, far := os.NewFile(uintptr(pair[0]), "near"), os.NewFile(uintptr(pair[1]), "far")
		defer near.Close()
		far.WriteString("from a socket")
		far.Close()
		c.Stdin = near
		f.want("socket", f.run(c).stdout, "from a socket")
	}},
	{"what is not read of a file is left", func(f *fixture) {
		file, err := os.Open(f.write("input", strings.Repeat("0123456789", 10000)))
		if err != nil {
			f.Fatal(err)
		}
		defer file.Close()
		for i := range 3 {
			c := f.cmd("take", "7")
			c.Stdin = file
			f.want("taken", f.run(c).stdout, []string{"0123456", "7890123", "4567890"}[i])
			at, err := file.Seek(0, io.SeekCurrent)
			if err != nil {
				f.Fatal(err)
			}
			f.want("offset", at, int64(7*(i+1)))
		}
	}},
	{"no input is end of file", func(f *fixture) {
		f.want("output", f.run(f.cmd("cat")).stdout, "")
	}},
	{"stdout and stderr to one place keep their order", func(f *fixture) {
		out, err := os.Create(filepath.Join(f.dir, "log"))
		if err != nil {
			f.Fatal(err)
		}
		defer out.Close()
		c := f.cmd("order", "200")
		c.Stdout, c.Stderr = out, out
		f.wait(f.start(c))
		var want strings.Builder
		for i := range 200 {
			want.WriteString(strconv.Itoa(i) + "\n")
		}
		got, _ := os.ReadFile(out.Name())
		f.want("log", string(got), want.String())
	}},
	{"appending", func(f *fixture) {
		path := f.write("log", "before\n")
		out, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			f.Fatal(err)
		}
		defer out.Close()
		c := f.cmd("args", "x")
		c.Stdout = out
		f.wait(f.start(c))
		got, _ := os.ReadFile(path)
		f.want("log", string(got), "before\n[\"x\"]\n")
	}},
	{"reader goes away", func(f *fixture) {
		r, w, err := os.Pipe()
		if err != nil {
			f.Fatal(err)
		}
		defer w.Close()
		c := f.cmd("flood", "1073741824")
		c.Stdout = w
		p := f.start(c)
		io.ReadFull(r, make([]byte, 100))
		r.Close()
		exit := f.wait(p)
		// The probe's runtime may see the error before the signal ends it.
		f.want("ended", exit.Signal == syscall.SIGPIPE || exit.Reason == sandbox.ReasonExited, true)
	}},
	{"program closes its input", func(f *fixture) {
		r, w, err := os.Pipe()
		if err != nil {
			f.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		w.Write(make([]byte, 60000))
		c := f.cmd("closein")
		c.Stdin = r
		f.want("output", f.run(c).stdout, "done\n")
	}},
	{"what holds the output open does not hold the run", func(f *fixture) {
		f.want("output", f.run(f.cmd("linger")).stdout, "main\n")
	}},
	{"a slow reader gets everything", func(f *fixture) {
		r, w, err := os.Pipe()
		if err != nil {
			f.Fatal(err)
		}
		c := f.cmd("flood", "300000")
		c.Stdout = w
		p := f.start(c)
		n := make(chan int64)
		go func() {
			time.Sleep(50 * time.Millisecond) // the program has ended by then, or is blocked
			got, _ := io.Copy(io.Discard, r)
			r.Close()
			n <- got
		}()
		f.wait(p)
		w.Close()
		f.want("bytes", <-n, int64(300000))
	}},
}

// stdioCases check what the program's descriptors are.
var stdioCases = []testCase{
	{"descriptors opened anew by name", func(f *fixture) {
		f.want("stdout", f.ok("write", "/dev/stdout", "again"), "again")
		o := f.run(f.cmd("write", "/proc/self/fd/2", "again"))
		f.want("stderr", o.stderr, "again")
	}},
	{"three descriptors and no more", func(f *fixture) {
		got := strings.Fields(f.ok("fds"))
		f.want("fields", len(got), 6)
		for i := 0; i+1 < len(got); i += 2 {
			f.want("descriptor", got[i], strconv.Itoa(i/2))
			if to := got[i+1]; to != "/dev/null" && !strings.HasPrefix(to, "pipe:") {
				f.Errorf("descriptor %s is %s, want /dev/null or a pipe", got[i], to)
			}
		}
	}},
	{"refused descriptors", func(f *fixture) {
		dir, err := os.Open(f.dir)
		if err != nil {
			f.Fatal(err)
		}
		defer dir.Close()
		event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			f.Fatal(err)
		}
		eventFile := os.NewFile(uintptr(event), "eventfd")
		defer eventFile.Close()
		for _, bad := range []*os.File{dir, eventFile} {
			c := f.cmd("exit", "0")
			c.Stdin = bad
			f.fails(c, sandbox.CodeInvalid)
			c = f.cmd("exit", "0")
			c.Stderr = bad
			f.fails(c, sandbox.CodeInvalid)
		}
	}},
	{"refused devices", func(f *fixture) {
		testenv.Require(f.T, "root")
		for _, mode := range []uint32{unix.S_IFBLK, unix.S_IFCHR} {
			path := filepath.Join(f.dir, "device")
			if err := unix.Mknod(path, mode|0o600, int(unix.Mkdev(7, 250))); err != nil { // a loop device, a console screen
				f.Fatal(err)
			}
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
			os.Remove(path)
			if err != nil {
				if mode == unix.S_IFBLK {
					f.Skipf("no block device to try: %v", err)
				}
				continue
			}
			file := os.NewFile(uintptr(fd), "device")
			c := f.cmd("exit", "0")
			c.Stdin = file
			f.fails(c, sandbox.CodeInvalid)
			file.Close()
		}
	}},
	{"closed descriptors", func(f *fixture) {
		file, err := os.Open("/dev/null")
		if err != nil {
			f.Fatal(err)
		}
		file.Close()
		c := f.cmd("exit", "0")
		c.Stdin = file
		f.fails(c, sandbox.CodeInvalid)
	}},
	{"null and zero", func(f *fixture) {
		zero, err := os.Open("/dev/zero")
		if err != nil {
			f.Fatal(err)
		}
		defer zero.Close()
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			f.Fatal(err)
		}
		defer null.Close()
		c := f.cmd("closein")
		c.Stdin = zero
		f.want("output", f.run(c).stdout, "done\n")
		c = f.cmd("cat")
		c.Stdin, c.Stderr = null, null
		f.want("output", f.run(c).stdout, "")
	}},
	{"nobody's flags are changed", func(f *fixture) {
		r, w, err := os.Pipe()
		if err != nil {
			f.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		flags := func() int {
			conn, _ := w.SyscallConn()
			var n int
			conn.Control(func(fd uintptr) { n, _ = unix.FcntlInt(fd, unix.F_GETFL, 0) })
			return n
		}
		before := flags()
		c := f.cmd("exit", "0")
		c.Stdout = w
		f.wait(f.start(c))
		f.want("flags of the caller's pipe", flags(), before)
	}},
}
