//go:build !amd64 && !arm64

package seccomp

import "golang.org/x/sys/unix"

var program, programUserNS, programNoSetID, programUserNSNoSetID []unix.SockFilter

var alarming []alarm
