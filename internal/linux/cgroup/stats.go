package cgroup

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/linux/procfs"
)

// Stats is what a group has used. A field that this host does not count is -1.
type Stats struct {
	CPUTotal, CPUUser, CPUSystem int64 // ns

	MemoryCurrent, MemoryPeak int64 // bytes
	OOMKills                  int64 // for want of memory; v2 may count a process twice (seen on 6.1)
	PIDsHits                  int64 // forks refused by the limit
}

// source says where a hierarchy has a number: in a line "KEY NUMBER" of the file, or
// the file's only number if key is "". It is multiplied by unit.
type source struct {
	controller, file, key string
	unit                  int64
	field                 func(*Stats) *int64
}

var v2Sources = []source{
	// cpu.stat is in every v2 group, with or without the cpu controller.
	{"", "cpu.stat", "usage_usec", 1e3, func(s *Stats) *int64 { return &s.CPUTotal }},
	{"", "cpu.stat", "user_usec", 1e3, func(s *Stats) *int64 { return &s.CPUUser }},
	{"", "cpu.stat", "system_usec", 1e3, func(s *Stats) *int64 { return &s.CPUSystem }},
	{"memory", "memory.current", "", 1, func(s *Stats) *int64 { return &s.MemoryCurrent }},
	{"memory", "memory.peak", "", 1, func(s *Stats) *int64 { return &s.MemoryPeak }}, // Linux 5.19
	{"memory", "memory.events", "oom_kill", 1, func(s *Stats) *int64 { return &s.OOMKills }},
	{"pids", "pids.events", "max", 1, func(s *Stats) *int64 { return &s.PIDsHits }},
}

var v1Sources = []source{
	{"cpuacct", "cpuacct.usage", "", 1, func(s *Stats) *int64 { return &s.CPUTotal }},
	// In ticks of USER_HZ, which is 100 on every architecture that Go has.
	{"cpuacct", "cpuacct.stat", "user", 1e7, func(s *Stats) *int64 { return &s.CPUUser }},
	{"cpuacct", "cpuacct.stat", "system", 1e7, func(s *Stats) *int64 { return &s.CPUSystem }},
	{"memory", "memory.usage_in_bytes", "", 1, func(s *Stats) *int64 { return &s.MemoryCurrent }},
	{"memory", "memory.max_usage_in_bytes", "", 1, func(s *Stats) *int64 { return &s.MemoryPeak }},
	{"memory", "memory.oom_control", "oom_kill", 1, func(s *Stats) *int64 { return &s.OOMKills }}, // Linux 4.13
	{"pids", "pids.events", "max", 1, func(s *Stats) *int64 { return &s.PIDsHits }},               // Linux 4.9
}

// Stats reads the group's counters. Read them before Remove: they go with the group.
func (g *Group) Stats() (Stats, error) {
	s := Stats{-1, -1, -1, -1, -1, -1, -1}
	for _, d := range g.dirs {
		if err := d.stats(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (d dir) stats(s *Stats) error {
	fd, err := open(unix.AT_FDCWD, d.path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	defer unix.Close(fd)
	sources := v1Sources
	if d.v2 {
		sources = v2Sources
	}
	var file, text string
	for _, src := range sources {
		if src.controller != "" && !d.has(src.controller) {
			continue
		}
		if src.file != file {
			file = src.file
			if text, err = procfs.ReadFile(fd, file); errors.Is(err, unix.ENOENT) {
				text = ""
			} else if err != nil {
				return fmt.Errorf("%s/%s: %w", d.path, file, err)
			}
		}
		if n, ok := number(text, src.key); ok {
			*src.field(s) = n * src.unit
		}
	}
	return nil
}

// number finds the number in a line "KEY NUMBER", or the only one if key is "".
func number(text, key string) (int64, bool) {
	for line := range strings.Lines(text) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), " ")
		if key == "" {
			k, v, ok = "", k, true
		}
		if ok && k == key {
			n, err := strconv.ParseInt(v, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
