package main

// haveInt80 says that this architecture has a second system call ABI.
const haveInt80 = true

// int80 calls getpid by the 32-bit ABI.
func int80()
