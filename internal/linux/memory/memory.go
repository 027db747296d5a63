// Package memory tells how much memory a host has.
package memory

import (
	"math"

	"golang.org/x/sys/unix"
)

// Total is the host's memory in bytes, as sysinfo(2) has it: without swap.
func Total() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return math.MaxInt64
	}
	return int64(info.Totalram) * int64(info.Unit)
}
