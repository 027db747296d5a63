// Ringwall runs what an AI agent wants to run inside isolation that is strong enough.
//
// Its own parallelism is no reason to read cgroup files at every start.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"os"

	"github.com/ringwall/ringwall/internal/cli"
)

func main() { os.Exit(cli.Main()) }
