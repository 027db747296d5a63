package conformance

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// identityCases check what the backend says of itself.
var identityCases = []testCase{
	{"info", func(f *fixture) {
		info := f.backend.Info()
		f.want("name", info.Name, f.target.Name)
		if info.Summary == "" {
			f.Error("no summary")
		}
	}},
	{"detect twice the same", func(f *fixture) {
		a, errA := f.backend.Detect(f.ctx)
		b, errB := f.backend.Detect(f.ctx)
		if errA != nil || errB != nil || len(a.Guarantees) != len(b.Guarantees) || a.Ready != b.Ready {
			f.Errorf("%+v, %v and then %+v, %v", a, errA, b, errB)
		}
		for _, c := range a.Checks {
			if c.Status != sandbox.StatusOK && c.Detail == "" {
				f.Errorf("check %q is %s and does not say why", c.Name, c.Status)
			}
		}
	}},
	{"attach unless reattach is declared", func(f *fixture) {
		for _, feature := range f.backend.Info().Features {
			if feature == "reattach" {
				return
			}
		}
		_, err := f.backend.Attach(f.ctx, f.sandbox().Ref())
		f.want("Attach", sandbox.CodeOf(err), sandbox.CodeUnsupported)
	}},
	{"ref", func(f *fixture) {
		ref := f.sandbox().Ref()
		f.want("backend", ref.Backend, f.target.Name)
		f.want("id", ref.ID, f.spec.ID)
	}},
}

// execCases check what is run, and with what.
var execCases = []testCase{
	{"exit codes", func(f *fixture) {
		for _, code := range []int{0, 1, 42, 255} {
			o := f.run(f.cmd("exit", strconv.Itoa(code)))
			f.want("reason", o.exit.Reason, sandbox.ReasonExited)
			f.want("code", o.exit.Code, code)
			f.want("status", o.exit.Status(), code)
		}
	}},
	{"ends by signal", func(f *fixture) {
		for _, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGABRT, syscall.SIGSEGV} {
			o := f.run(f.cmd("signal", strconv.Itoa(int(s))))
			if o.exit.Reason == sandbox.ReasonExited && s != syscall.SIGKILL && s != syscall.SIGTERM {
				continue // the probe's runtime turns some into an exit
			}
			f.want("reason", o.exit.Reason, sandbox.ReasonSignaled)
			f.want("signal", o.exit.Signal, s)
			f.want("status", o.exit.Status(), 128+int(s))
		}
	}},
	{"arguments as they are", func(f *fixture) {
		args := []string{"args", "", " a  b ", "new\nline", "\xff\xfe", "$HOME", "--", "*", strings.Repeat("x", 100<<10)}
		got := f.ok(args...)
		f.want("arguments", got, strings.TrimSpace(quoted(args[1:]))+"\n")
	}},
	{"too many arguments", func(f *fixture) {
		f.fails(f.cmd("args", strings.Repeat("x", 4<<20)), sandbox.CodeNotExecutable)
		f.ok("args", "still works")
	}},
	{"environment is exactly what was given", func(f *fixture) {
		f.Setenv("RINGWALL_TEST_CANARY", "of the caller")
		f.want("environment", f.ok("env"), "MARK=inside\nPATH=/usr/bin:/bin\n")
	}},
	{"working directory", func(f *fixture) {
		f.write("project/sub/x", "")
		c := f.cmd("cwd")
		f.want("cwd", f.run(c).stdout, f.project+"\n")
		c.Dir = filepath.Join(f.project, "sub")
		f.want("cwd", f.run(c).stdout, c.Dir+"\n")
	}},
	{"working directory that is none", func(f *fixture) {
		for _, dir := range []string{"/no/such/directory", filepath.Join(f.project, "file"), "relative", ""} {
			c := f.cmd("cwd")
			c.Dir = dir
			f.fails(c, sandbox.CodeInvalid)
		}
	}},
	{"program on PATH", func(f *fixture) {
		c := f.cmd("exit", "7")
		c.Args[0] = filepath.Base(f.probe)
		c.Env = []string{"PATH=/nowhere::" + filepath.Dir(f.probe)}
		f.want("code", f.run(c).exit.Code, 7)
	}},
	{"command not found", func(f *fixture) {
		for _, name := range []string{"no-such-program", "/no/such/program", "", f.probe + "/below"} {
			c := f.cmd()
			c.Args = []string{name}
			f.fails(c, sandbox.CodeCommandNotFound)
		}
	}},
	{"not executable", func(f *fixture) {
		text := f.write("project/text", "#!/bin/sh\n")
		garbage := f.write("project/garbage", "\x7fELF nonsense")
		script := f.write("project/script", "#!/no/such/interpreter\n")
		for _, name := range []string{garbage, script} {
			if err := os.Chmod(name, 0o755); err != nil {
				f.Fatal(err)
			}
		}
		for _, name := range []string{text, garbage, script, f.project} {
			c := f.cmd()
			c.Args = []string{name}
			f.fails(c, sandbox.CodeNotExecutable)
		}
	}},
	{"no command", func(f *fixture) {
		f.fails(sandbox.Cmd{Dir: f.project}, sandbox.CodeInvalid)
	}},
	{"several programs in one sandbox", func(f *fixture) {
		f.want("first", f.ok("args", "1"), "[\"1\"]\n")
		results := make(chan error, 5)
		for i := range 5 {
			go func() {
				p, err := f.sandbox().Start(f.ctx, f.cmd("exit", strconv.Itoa(i)))
				if err == nil {
					var exit sandbox.Exit
					if exit, err = p.Wait(f.ctx); err == nil && exit.Code != i {
						err = errors.New("program " + strconv.Itoa(i) + " ended with " + strconv.Itoa(exit.Code))
					}
				}
				results <- err
			}()
		}
		for range 5 {
			if err := <-results; err != nil {
				f.Error(err)
			}
		}
	}},
	{"usage", func(f *fixture) {
		o := f.run(f.cmd("burn", "50"))
		u := o.exit.Usage
		if u.User <= 0 || u.Wall < u.User/8 || u.MaxRSS <= 0 || u.System < 0 {
			f.Errorf("usage of a program that used 50 ms of CPU: %+v", u)
		}
	}},
	{"signals arrive", func(f *fixture) {
		r, w, err := os.Pipe()
		if err != nil {
			f.Fatal(err)
		}
		defer r.Close()
		c := f.cmd("trap")
		c.Stdout = w
		p := f.start(c)
		defer w.Close()
		buf := make([]byte, 64)
		if n, err := r.Read(buf); err != nil || string(buf[:n]) != "ready\n" {
			f.Fatalf("read %q, %v", buf[:n], err)
		}
		if err := p.Signal(f.ctx, syscall.SIGUSR1); err != nil {
			f.Fatal(err)
		}
		f.want("code", f.wait(p).Code, 0)
		n, _ := r.Read(buf)
		f.want("signal", strings.TrimSpace(string(buf[:n])), syscall.SIGUSR1.String())
		if err := p.Signal(f.ctx, syscall.SIGTERM); err != nil {
			f.Errorf("a signal to a program that has ended: %v", err)
		}
	}},
	{"stop, continue, kill", func(f *fixture) {
		p := f.start(f.cmd("sleep"))
		for _, s := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT, syscall.SIGKILL} {
			if err := p.Signal(f.ctx, s); err != nil {
				f.Fatal(err)
			}
		}
		f.want("signal", f.wait(p).Signal, syscall.SIGKILL)
	}},
	{"wait again, wait briefly", func(f *fixture) {
		p := f.start(f.cmd("sleep"))
		ctx, cancel := context.WithCancel(f.ctx)
		cancel()
		if _, err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
			f.Errorf("Wait with a cancelled context: %v", err)
		}
		if err := p.Signal(f.ctx, syscall.SIGKILL); err != nil {
			f.Fatal(err)
		}
		f.want("second answer", f.wait(p), f.wait(p))
	}},
}

// quoted formats like the probe's args.
func quoted(args []string) string {
	q := make([]string, len(args))
	for i, a := range args {
		q[i] = strconv.Quote(a)
	}
	return "[" + strings.Join(q, " ") + "]"
}
