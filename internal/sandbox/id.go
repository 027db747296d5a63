package sandbox

import (
	"crypto/rand"
	"encoding/base32"
)

// IDLen is the length of a sandbox or workspace id.
const IDLen = 12

// NewID returns 12 random characters of [a-z2-7]: 60 bits.
func NewID() string {
	var raw [8]byte
	rand.Read(raw[:]) // never fails; see its documentation
	return idEncoding.EncodeToString(raw[:])[:IDLen]
}

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ValidID reports whether s is a whole id or, if it has at least four characters,
// can be the prefix of one. Ids become file names: nothing else may.
func ValidID(s string) bool {
	if len(s) < 4 || len(s) > IDLen {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}
