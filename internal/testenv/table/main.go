// Table prints the results of the conformance suite: backend × passed, failed,
// skipped. It ends with status 1 if anything failed or nothing ran.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/ringwall/ringwall/internal/testenv"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: table RESULTS")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "backend\tstarted by\tpassed\tfailed\tskipped\t")
	var total testenv.Result
	for d := json.NewDecoder(f); ; {
		var r testenv.Result
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t\n", r.Backend, r.Mode, r.Passed, r.Failed, r.Skipped)
		total.Passed += r.Passed
		total.Failed += r.Failed
		total.Skipped += r.Skipped
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Printf("\n%d passed, %d failed, %d skipped\n", total.Passed, total.Failed, total.Skipped)
	if total.Failed > 0 || total.Passed == 0 {
		return errors.New("the suite did not pass")
	}
	return nil
}
