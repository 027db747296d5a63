package cli

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/internal/sandbox"
)

// The least that limits may be: with less not even the guest and a shell run.
const (
	leastMemory = 16 << 20
	leastPIDs   = 16
)

// limits are those that the flags ask for; what they do not is zero.
func (f *runFlags) limits() (l sandbox.Limits, err error) {
	if f.memory != "" {
		if l.MemoryBytes, err = parseSize(f.memory); err == nil && l.MemoryBytes < leastMemory {
			err = errors.New("nothing runs in so little")
		}
		if err != nil {
			return l, &sandbox.Error{Code: sandbox.CodeInvalid, Op: "run", Err: fmt.Errorf("--memory %s: %w", f.memory, err),
				Hint: "write a whole number with K, M, G or T, at least " + formatSize(leastMemory) + ", as in --memory 2G"}
		}
	}
	if f.pids != 0 && (f.pids < leastPIDs || f.pids > 1<<22) { // PID_MAX_LIMIT of the kernel
		return l, &sandbox.Error{Code: sandbox.CodeInvalid, Op: "run", Err: fmt.Errorf("--pids %d is out of range", f.pids),
			Hint: fmt.Sprintf("choose a number from %d to %d", leastPIDs, 1<<22)}
	}
	l.PIDs = f.pids
	return l, nil
}

const sizeUnits = "KMGTPE"

// parseSize reads a number of bytes, or of KiB, MiB … if a letter follows, with or
// without "B" or "iB" after it.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "kKmMgGtTpPeEiIbB")
	unit := strings.ToUpper(s[len(digits):])
	unit = strings.TrimSuffix(strings.TrimSuffix(unit, "B"), "I")
	shift := 0
	if unit != "" {
		i := strings.Index(sizeUnits, unit)
		if i < 0 || len(unit) != 1 {
			return 0, errors.New("this is no size")
		}
		shift = 10 * (i + 1)
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, errors.New("this is no size")
	}
	if bits.Len64(n)+shift > 63 {
		return 0, errors.New("this is more than there is")
	}
	return int64(n << shift), nil
}

// formatSize writes a size in the largest unit that it is a whole number of.
func formatSize(n int64) string {
	unit := ""
	for i := 0; i < len(sizeUnits) && n >= 1024 && n%1024 == 0; i++ {
		n, unit = n/1024, sizeUnits[i:i+1]
	}
	return strconv.FormatInt(n, 10) + unit
}
