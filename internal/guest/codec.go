package guest

import "errors"

// ErrMalformed is returned for a payload that no correct peer sends.
var ErrMalformed = errors.New("malformed message")

// encoder appends fields to a payload: integers as 8 bytes, little endian, strings
// and lists behind their length. Small code counts more here than small messages:
// it is linked into the guest and has to be obviously right.
type encoder struct{ b []byte }

func (e *encoder) u64(v uint64) {
	e.b = append(e.b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24),
		byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
}

func (e *encoder) int(v int) { e.u64(uint64(int64(v))) }

func (e *encoder) bool(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) string(s string) {
	e.int(len(s))
	e.b = append(e.b, s...)
}

func (e *encoder) strings(l []string) {
	e.int(len(l))
	for _, s := range l {
		e.string(s)
	}
}

// decoder reads what encoder wrote. After the first field that is not there or out
// of bounds it answers zero values; finish tells.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) u64() uint64 {
	if len(d.b) < 8 {
		d.bad, d.b = true, nil
		return 0
	}
	b := d.b[:8]
	d.b = d.b[8:]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

func (d *decoder) int() int { return int(int64(d.u64())) }

// count reads the length of a list whose elements take at least min bytes each, so
// that a forged count cannot make us allocate more than the frame's own size.
func (d *decoder) count(min int) int {
	n := d.int()
	if n < 0 || n > len(d.b)/min {
		d.bad, d.b = true, nil
		return 0
	}
	return n
}

func (d *decoder) bool() bool {
	if len(d.b) < 1 || d.b[0] > 1 {
		d.bad, d.b = true, nil
		return false
	}
	v := d.b[0] == 1
	d.b = d.b[1:]
	return v
}

func (d *decoder) string() string {
	n := d.count(1)
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) strings() []string {
	n := d.count(8)
	if n == 0 {
		return nil
	}
	l := make([]string, 0, n)
	for range n {
		l = append(l, d.string())
	}
	return l
}

// finish returns ErrMalformed if a field was bad or bytes are left over.
func (d *decoder) finish() error {
	if d.bad || len(d.b) != 0 {
		return ErrMalformed
	}
	return nil
}
