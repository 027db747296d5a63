//go:build !amd64

package main

// haveInt80 says that this architecture has a second system call ABI.
const haveInt80 = false

func int80() {}
