package testenv

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var sandboxGroup = regexp.MustCompile(`^ringwall-[a-z2-7]{12}$`)

// Leaks compares the host before and after a test: our descriptors, our descendants,
// mounts, network links, cgroups, and the files below dirs. The
// kernel takes some things apart in the background, so it looks for up to two seconds.
func Leaks(tb testing.TB, dirs ...string) {
	tb.Helper()
	before := look(dirs)
	tb.Cleanup(func() {
		var left []string
		for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if left = subtract(look(dirs), before); len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				tb.Errorf("left behind:\n%s", strings.Join(left, "\n"))
				return
			}
		}
	})
}

// look lists what is there, one line each.
func look(dirs []string) []string {
	var all []string
	add := func(kind string, items []string) {
		for _, i := range items {
			all = append(all, kind+" "+i)
		}
	}
	add("descriptor", descriptors())
	add("process", processes())
	add("mount", fileLines("/proc/self/mountinfo"))
	add("link", links())
	add("cgroup", cgroups())
	for _, dir := range dirs {
		add("file", files(dir))
	}
	return all
}

func subtract(after, before []string) (left []string) {
	count := map[string]int{}
	for _, line := range before {
		count[line]++
	}
	for _, line := range after {
		if count[line]--; count[line] < 0 {
			left = append(left, line)
		}
	}
	return left
}

func fileLines(path string) []string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(raw)), "\n")
}

// descriptors lists ours by what they refer to. The runtime's own are left out.
func descriptors() (all []string) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:[eventpoll]") || strings.HasPrefix(to, "anon_inode:[eventfd]") ||
			strings.HasPrefix(to, "/proc/") {
			continue
		}
		if kind, _, ok := strings.Cut(to, ":["); ok {
			to = kind // inode numbers of pipes and sockets differ
		}
		all = append(all, to)
	}
	return all
}

// processes lists our descendants.
func processes() (all []string) {
	parent := map[int]int{}
	name := map[int]string{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		raw, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
		fields := strings.Fields(string(raw[end+1:]))
		name[pid] = string(raw[open+1 : end])
		parent[pid], _ = strconv.Atoi(fields[1])
	}
	self := os.Getpid()
	for pid := range name {
		ours := false
		for p, n := parent[pid], 0; p > 1 && n < 100; p, n = parent[p], n+1 {
			ours = ours || p == self
		}
		if ours {
			all = append(all, fmt.Sprintf("%d %s", pid, name[pid]))
		}
	}
	slices.Sort(all)
	return all
}

func links() (all []string) {
	for _, line := range fileLines("/proc/net/dev") {
		if name, _, ok := strings.Cut(line, ":"); ok {
			all = append(all, strings.TrimSpace(name))
		}
	}
	return all
}

// cgroups lists the groups of sandboxes, which are named after their ids: not the parent
// of root's, which stays, nor those that tests of package cgroup make beside us.
func cgroups() (all []string) {
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && sandboxGroup.MatchString(d.Name()) {
			all = append(all, path)
		}
		return nil
	})
	return all
}

func files(dir string) (all []string) {
	filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			all = append(all, path)
		}
		return nil
	})
	return all
}
