// Package blob holds the guest program that is embedded into ringwall. `make guest`
// builds it; a checkout without it still builds, to a ringwall that says so.
package blob

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrMissing is returned by a ringwall that was built without a guest.
var ErrMissing = errors.New("this ringwall was built without its guest program")

var name = "guest-linux-" + runtime.GOARCH

// Extract makes sure that the guest of this build is an executable file below dir,
// and returns its path. The file is named by its content's hash, written once per
// build, and is not writable by anybody.
func Extract(dir string) (string, error) {
	// The hash is computed when the guest is built: hashing some megabytes at each
	// start would cost more than starting the sandbox.
	sum, err := files.ReadFile(name + ".sha256")
	if err != nil {
		return "", ErrMissing
	}
	hash := strings.TrimSpace(string(sum))
	path := filepath.Join(dir, "guest-"+hash)
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode() == 0o555:
		return path, nil
	case err == nil:
		return "", fmt.Errorf("%s was changed (mode %v): remove it", path, info.Mode())
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	data, err := files.ReadFile(name)
	if err != nil {
		return "", ErrMissing
	}
	if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != hash {
		return "", errors.New("the embedded guest program does not match its hash: run `make guest` and build again")
	}
	return path, write(dir, path, data)
}

// write puts data at path in one step: several processes may be first at once.
func write(dir, path string, data []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".guest-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		// Readable and executable by all: started by root, the guest's own uid is
		// one that owns nothing. The directory above keeps other users out.
		err = unix.Fchmod(int(tmp.Fd()), 0o555)
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
