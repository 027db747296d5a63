package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

const page = 4096

// attackMemory takes a number of MiB of some kind, uses all of it at once, and succeeds
// if it is let.
func attackMemory(a []string) {
	kind, size, dir := a[0], number(a[1])<<20, a[2]
	switch kind {
	case "anonymous":
		touch(size)
	case "file":
		f, err := os.CreateTemp(dir, "fill-")
		check(err)
		fill(f, size)
	case "memfd":
		fd, err := unix.MemfdCreate("fill", 0)
		check(err)
		fill(os.NewFile(uintptr(fd), "fill"), size)
	case "processes":
		// Each keeps its part until all have theirs.
		const parts = 6
		var children []*os.Process
		for range parts {
			r, w, err := os.Pipe()
			check(err)
			p, err := os.StartProcess(os.Args[0], []string{"probe", "hold-memory", strconv.Itoa(size / parts >> 20)},
				&os.ProcAttr{Files: []*os.File{nil, w, os.Stderr}})
			check(err)
			w.Close()
			var ready [1]byte
			if _, err := r.Read(ready[:]); err != nil {
				fmt.Println("a process was killed")
				os.Exit(3)
			}
			children = append(children, p)
		}
		held := 0
		for _, p := range children {
			// One that was killed for another's sake is no longer one of those that have it.
			if pid, err := unix.Wait4(p.Pid, nil, unix.WNOHANG, nil); err == nil && pid == 0 {
				held++
			}
		}
		for _, p := range children {
			p.Kill()
		}
		if held < parts {
			fmt.Println(held, "processes were left")
			os.Exit(3)
		}
	}
	fmt.Println("took", size>>20, "MiB from", filepath.Clean(dir))
}

// holdMemory takes a number of MiB, says so and keeps them.
func holdMemory(a []string) {
	touch(number(a[0]) << 20)
	os.Stdout.Write([]byte{1})
	sleep()
}

// touch maps memory and writes to each page.
func touch(size int) {
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	check(err)
	for i := 0; i < size; i += page {
		m[i] = 1
	}
}

func fill(f *os.File, size int) {
	block := make([]byte, 1<<20)
	for range size >> 20 {
		_, err := f.Write(block)
		check(err)
	}
}
