//go:build !amd64 && !arm64

package seccomp

import "golang.org/x/sys/unix"

var program, programUserNS []unix.SockFilter

var alarming []alarm
