package ns

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// idRange is a range of host ids that no other sandbox has. It is held by a lock on
// a file, so it is free again however its holder ends.
type idRange struct {
	base int
	lock *os.File
}

// takeRange takes a free range. The file of each is left behind on purpose: removing
// it while another process opens it would give the range out twice.
func takeRange(runtimeDir string) (*idRange, error) {
	dir := filepath.Join(runtimeDir, "ids")
	const ranges = (lastBase - firstBase) / rangeSize
	made := false
	for first, i := rand.IntN(ranges), 0; i < ranges; i++ {
		n := (first + i) % ranges
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(n)), os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, os.ErrNotExist) && !made {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, err
			}
			made = true
			i--
			continue
		}
		if err != nil {
			return nil, err
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			return &idRange{base: firstBase + n*rangeSize, lock: f}, nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("all %d ranges of ids are in use", ranges)
}

func (r *idRange) release() {
	if r != nil {
		r.lock.Close()
	}
}
