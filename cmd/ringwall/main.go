// Ringwall runs what an AI agent wants to run inside isolation that is strong enough.
package main

import (
	"os"

	"github.com/ringwall/ringwall/internal/cli"
)

func main() { os.Exit(cli.Main()) }
