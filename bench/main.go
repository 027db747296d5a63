// Bench compares the start of a sandbox with bubblewrap's, in pairs and in turn on the
// same host, so that the ratio holds when the machine's speed drifts.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is everything that was measured. Times are in milliseconds.
type report struct {
	Schema string    `json:"schema"`
	Date   time.Time `json:"date"`
	Kernel string    `json:"kernel"`
	CPUs   int       `json:"cpus"`
	UID    int       `json:"uid"`
	Pairs  int       `json:"pairs"`
	Rows   []row     `json:"rows"`
	Steps  []stepRow `json:"steps"`
}

// row is one program beside its peer.
type row struct {
	Name   string  `json:"name"`
	Peer   string  `json:"peer"`
	Ours   summary `json:"ours"`
	Theirs summary `json:"theirs"`
	Ratio  float64 `json:"ratio_p50"`       // of the medians
	Pairs  float64 `json:"ratio_pairs_p50"` // median of the ratios of the pairs
}

type summary struct {
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
}

// stepRow is one step of `ringwall run -v`.
type stepRow struct {
	Step string  `json:"step"`
	P50  float64 `json:"p50_ms"`
	P95  float64 `json:"p95_ms"`
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	ringwall := flag.String("ringwall", "bin/ringwall", "the `program` to measure")
	pairs := flag.Int("n", 200, "how many pairs")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	r, err := measure(*ringwall, *pairs)
	if err != nil {
		log.Fatal(err)
	}
	if *asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		err = r.print()
	}
	if err != nil {
		log.Fatal(err)
	}
}

func measure(ringwall string, pairs int) (r report, err error) {
	if pairs < 1 {
		return r, errors.New("-n must be at least 1")
	}
	if ringwall, err = filepath.Abs(ringwall); err != nil {
		return r, err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return r, err
	}
	r = report{Schema: "ringwall.bench/1", Date: time.Now().UTC(), Kernel: strings.TrimSpace(string(kernel)),
		CPUs: runtime.NumCPU(), UID: os.Geteuid(), Pairs: pairs}
	dir, err := os.MkdirTemp("", "ringwall-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return r, err
	}
	project := filepath.Join(dir, "project")
	if err := os.Mkdir(project, 0o755); err != nil {
		return r, err
	}
	empty, err := emptyProgram(dir)
	if err != nil {
		return r, err
	}
	env := append(os.Environ(), "HOME="+filepath.Join(dir, "home"))
	run := func(args ...string) func() error {
		return func() error {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Dir, cmd.Env = project, env
			return cmd.Run()
		}
	}
	comparisons := []struct {
		name, peer   string
		ours, theirs []string
	}{
		{"ringwall run -- true", "bwrap … true", []string{ringwall, "run", "--", "true"},
			[]string{"bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"}},
		{"ringwall version", "an empty static Go program", []string{ringwall, "version"}, []string{empty}},
	}
	for _, c := range comparisons {
		if _, err := exec.LookPath(c.theirs[0]); err != nil {
			log.Printf("%s is not installed (apt-get install bubblewrap): %q is left out", c.theirs[0], c.name)
			continue
		}
		one, err := compare(c.name, c.peer, run(c.ours...), run(c.theirs...), pairs)
		if err != nil {
			return r, err
		}
		r.Rows = append(r.Rows, one)
	}
	r.Steps, err = steps(ringwall, project, env, pairs)
	return r, err
}

// emptyProgram builds what an empty static Go program is.
func emptyProgram(dir string) (string, error) {
	source, path := filepath.Join(dir, "empty.go"), filepath.Join(dir, "empty")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
}

// compare times both in pairs, each pair in an order drawn by lot, after a warm-up.
func compare(name, peer string, ours, theirs func() error, pairs int) (row, error) {
	var a, b, ratios []float64
	for i := -3; i < pairs; i++ {
		var ta, tb float64
		var errA, errB error
		if rand.IntN(2) == 0 {
			ta, errA = timed(ours)
			tb, errB = timed(theirs)
		} else {
			tb, errB = timed(theirs)
			ta, errA = timed(ours)
		}
		if err := errors.Join(errA, errB); err != nil {
			return row{}, fmt.Errorf("%s against %s: %w", name, peer, err)
		}
		if i >= 0 {
			a, b, ratios = append(a, ta), append(b, tb), append(ratios, ta/tb)
		}
	}
	sa, sb := summarise(a), summarise(b)
	return row{Name: name, Peer: peer, Ours: sa, Theirs: sb, Ratio: sa.P50 / sb.P50, Pairs: summarise(ratios).P50}, nil
}

func timed(run func() error) (float64, error) {
	began := time.Now()
	err := run()
	return float64(time.Since(began)) / float64(time.Millisecond), err
}

func summarise(v []float64) summary {
	slices.Sort(v)
	at := func(q float64) float64 { return v[min(int(q*float64(len(v))), len(v)-1)] }
	return summary{P50: at(.5), P95: at(.95), P99: at(.99)}
}

// steps runs `ringwall run -v` and collects how long each step took.
func steps(ringwall, project string, env []string, runs int) ([]stepRow, error) {
	times := map[string][]float64{}
	var order []string
	for range runs {
		cmd := exec.Command(ringwall, "run", "-v", "--", "true")
		cmd.Dir, cmd.Env = project, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("ringwall run -v: %w: %s", err, out)
		}
		for _, line := range strings.Split(string(out), "\n") {
			f := strings.Fields(line) // ringwall: WHERE STEP MS ms
			if len(f) != 5 {
				continue
			}
			ms, err := strconv.ParseFloat(f[3], 64)
			if err != nil {
				return nil, err
			}
			name := f[1] + " " + f[2]
			if times[name] == nil {
				order = append(order, name)
			}
			times[name] = append(times[name], ms)
		}
	}
	var rows []stepRow
	for _, name := range order {
		s := summarise(times[name])
		rows = append(rows, stepRow{Step: name, P50: s.P50, P95: s.P95})
	}
	return rows, nil
}

func (r report) print() error {
	fmt.Printf("%s, Linux %s, %d CPUs, uid %d, %d pairs in turn, ms\n\n", r.Date.Format(time.DateOnly), r.Kernel, r.CPUs, r.UID, r.Pairs)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tp50\tp95\tp99\tratio of p50\tp50 of ratios\t")
	for _, x := range r.Rows {
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", x.Name, x.Ours.P50, x.Ours.P95, x.Ours.P99, x.Ratio, x.Pairs)
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t\t\t\n", x.Peer, x.Theirs.P50, x.Theirs.P95, x.Theirs.P99)
	}
	fmt.Fprintln(w, "\nstep\tp50\tp95\t")
	for _, s := range r.Steps {
		fmt.Fprintf(w, "%s\t%.3f\t%.3f\t\n", s.Step, s.P50, s.P95)
	}
	return w.Flush()
}
