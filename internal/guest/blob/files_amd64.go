package blob

import "embed"

//go:embed guest-linux-amd64*
var files embed.FS
