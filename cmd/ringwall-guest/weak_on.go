//go:build ringwall_weak

package main

// weakBuild: this guest leaves out protective layers when the test suite asks.
const weakBuild = true
