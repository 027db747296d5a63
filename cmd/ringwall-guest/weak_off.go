//go:build !ringwall_weak

package main

// weakBuild says whether this guest leaves out protective layers when it is told
// to. Only a guest that was built for the test suite's controls does.
const weakBuild = false
