package blob

import "embed"

//go:embed guest-linux-arm64*
var files embed.FS
