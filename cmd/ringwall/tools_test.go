package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/testenv"
)

// TestToolsRaiseNoAlarm runs debuggers, tracers and language runtimes: they work, and
// nothing that they do by themselves is refused with an alarm. An alarm that honest
// programs raise would soon be read by nobody.
func TestToolsRaiseNoAlarm(t *testing.T) {
	const program = "#include <stdio.h>\nint twice(int n) { return 2 * n; }\nint main(void) { printf(\"%d\\n\", twice(21)); return 0; }\n"
	const chromium = "echo '<p></p><script>document.querySelector(\"p\").textContent = 6*7</script>' > /tmp/x.html; chromium --headless --disable-gpu --dump-dom file:///tmp/x.html"
	for _, c := range []struct {
		name  string
		needs []string
		flags []string
		args  []string
		want  string
	}{
		{"gdb", []string{"gcc", "gdb"}, nil, []string{"sh", "-c", "gcc -g -o /tmp/p p.c && gdb -q -batch -nx -ex 'break twice' -ex run -ex 'print n' /tmp/p"}, "$1 = 21"},
		{"gdb attaches", []string{"gcc", "gdb"}, nil, []string{"sh", "-c", "sleep 20 & gdb -q -batch -nx -p $! -ex 'info inferiors'; kill $!"}, "/bin/sleep"},
		{"strace", []string{"strace"}, nil, []string{"strace", "-f", "-e", "trace=execve", "-o", "/dev/stdout", "sh", "-c", "/usr/bin/true"}, "execve(\"/usr/bin/true\""},
		{"python", []string{"python3"}, nil, []string{"/usr/bin/python3", "-c",
			"import multiprocessing, ssl, sqlite3, socket, subprocess, os, resource, asyncio\n" +
				"with multiprocessing.Pool(2) as p: print(p.map(abs, [-42]))\nasyncio.run(asyncio.sleep(0)); subprocess.run(['true'], start_new_session=True)\n" +
				"socket.create_server(('127.0.0.1', 0)).close()"}, "[42]"},
		{"node", []string{"node"}, nil, []string{"/usr/bin/node", "-e",
			"new (require('worker_threads').Worker)('console.log(6*7)', {eval: true}); require('child_process').execSync('true'); require('dns').lookup('localhost', () => {}); require('fs').watch('.').close()"}, "42"},
		{"java", []string{"java"}, nil, []string{"/usr/bin/java", "-Xmx64m", "-version"}, ""},
		// A browser builds a sandbox of its own inside, if it may.
		{"chromium without its sandbox", []string{"chromium"}, nil, []string{"sh", "-c", chromium + " --no-sandbox"}, "<p>42</p>"},
		{"chromium in its sandbox", []string{"chromium"}, []string{"--allow-userns", "--unsafe"}, []string{"sh", "-c", chromium}, "<p>42</p>"},
		{"git", []string{"git"}, nil, []string{"sh", "-c", "git init -q . && git add -A && git commit -qm x && git gc -q && git fsck && git log --oneline | wc -l"}, "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.Require(t, c.needs...)
			inside, _ := both(t, func(dir string) {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "p.c"), []byte(program), 0o644); err != nil {
					t.Fatal(err)
				}
			}, "--result", "../../result")
			inside.prefix = append(append(inside.prefix[:len(inside.prefix)-1], c.flags...), "--")
			// Who commits needs a name, which the test's home directory has not.
			inside.prefix = append(inside.prefix[:len(inside.prefix)-1], "--env", "GIT_AUTHOR_NAME=T", "--env", "GIT_AUTHOR_EMAIL=t@example.org",
				"--env", "GIT_COMMITTER_NAME=T", "--env", "GIT_COMMITTER_EMAIL=t@example.org", "--")
			if out := inside.run(c.args...); !strings.Contains(out, c.want) {
				t.Errorf("it printed %q, want %q", out, c.want)
			}
			raw, err := os.ReadFile(filepath.Join(inside.dir, "..", "..", "result"))
			if err != nil {
				t.Fatal(err)
			}
			var res api.Result
			if err := json.Unmarshal(raw, &res); err != nil {
				t.Fatal(err)
			}
			for _, d := range res.Denied {
				t.Errorf("an alarm: %+v", d)
			}
		})
	}
}
