package guest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRoundTrip(t *testing.T) {
	setup := Setup{Version: Version, UID: 1000, GID: 100, Range: true, UserNS: true, NoSetID: true, PIDs: 5, Hostname: "h",
		Sources: []Source{{Path: "/usr", Recursive: true}, {}},
		Ops: []Op{{Kind: OpBind, Target: "/usr", ReadOnly: true},
			{Kind: OpOverlay, Target: "/p", Source: 1, Layers: 0, Data: "share-1", Mode: 0o755, Own: true, Device: true}},
		Omit: []string{"ro"}}
	check(t, setup, DecodeSetup)
	check(t, Start{ID: 7, Args: []string{"a", "", "\xff\n"}, Env: []string{"K=V"}, Dir: "/", Null: [3]bool{true, false, true}}, DecodeStart)
	check(t, Signal{ID: 1, Signal: 15}, DecodeSignal)
	check(t, Ready{Version: Version, Steps: []Step{{Name: "view", Nanos: 5}}}, DecodeReady)
	check(t, Failed{ID: 2, Step: "find", Detail: "x", Errno: 2}, DecodeFailed)
	check(t, Started{ID: 3, PID: 4}, DecodeStarted)
	check(t, Exited{ID: 3, Status: 255, UserNS: 1, SystemNS: 2, MaxRSS: 3}, DecodeExited)
}

type message interface{ Encode() []byte }

// check decodes what m encodes to, and refuses every shorter or longer payload.
func check[M message](t *testing.T, m M, decode func([]byte) (M, error)) {
	t.Helper()
	b := m.Encode()
	got, err := decode(b)
	if err != nil {
		t.Fatalf("%T: %v", m, err)
	}
	if d := cmp.Diff(m, got); d != "" {
		t.Errorf("%T changed on its way (-sent +received):\n%s", m, d)
	}
	for n := range len(b) {
		if _, err := decode(b[:n]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("%T cut to %d of %d bytes: %v, want ErrMalformed", m, n, len(b), err)
		}
	}
	if _, err := decode(append(b, 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("%T with a byte too many: %v, want ErrMalformed", m, err)
	}
}

func TestDecodeRefusesImpossibleValues(t *testing.T) {
	for _, m := range []Exited{{Status: 256}, {Status: -1}, {Signal: 65}, {Signal: -1}, {UserNS: -1}, {MaxRSS: -1}} {
		if _, err := DecodeExited(m.Encode()); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v: %v, want ErrMalformed", m, err)
		}
	}
	for _, op := range []Op{{Source: 1}, {Source: -1}, {Layers: 1}} {
		if _, err := DecodeSetup(Setup{Ops: []Op{op}}.Encode()); !errors.Is(err, ErrMalformed) {
			t.Errorf("operation on a source that does not exist, %+v: %v, want ErrMalformed", op, err)
		}
	}
}

// The guest is hostile: its messages must neither crash the host nor make it
// allocate more than the frame's own size allows.
func FuzzDecodeFromGuest(f *testing.F) {
	f.Add(uint8(KindReady), Ready{Version: 1, Steps: []Step{{Name: "x", Nanos: 1}}}.Encode())
	f.Add(uint8(KindFailed), Failed{ID: 1, Step: "find", Detail: "y", Errno: 2}.Encode())
	f.Add(uint8(KindStarted), Started{ID: 1, PID: 2}.Encode())
	f.Add(uint8(KindExited), Exited{ID: 1, Status: 3}.Encode())
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		var again []byte
		var err error
		switch Kind(kind) {
		case KindReady:
			again, err = encodeAgain(b, DecodeReady)
		case KindFailed:
			var m Failed
			if m, err = DecodeFailed(b); len(m.Detail) > 16<<10 {
				return // cut when encoded
			}
			again = m.Encode()
		case KindStarted:
			again, err = encodeAgain(b, DecodeStarted)
		case KindExited:
			again, err = encodeAgain(b, DecodeExited)
		default:
			return
		}
		if err == nil && string(again) != string(b) {
			t.Errorf("kind %d: accepted a payload that it does not encode to itself", kind)
		}
	})
}

func FuzzDecodeFromHost(f *testing.F) {
	f.Add(Setup{Sources: []Source{{Path: "/"}}, Ops: []Op{{Kind: OpDir, Target: "/x"}}}.Encode())
	f.Add(Start{Args: []string{"x"}}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, decode := range []func([]byte) ([]byte, error){
			func(b []byte) ([]byte, error) { return encodeAgain(b, DecodeSetup) },
			func(b []byte) ([]byte, error) { return encodeAgain(b, DecodeStart) },
			func(b []byte) ([]byte, error) { return encodeAgain(b, DecodeSignal) },
		} {
			if again, err := decode(b); err == nil && string(again) != string(b) {
				t.Error("accepted a payload that it does not encode to itself")
			}
		}
	})
}

func encodeAgain[M message](b []byte, decode func([]byte) (M, error)) ([]byte, error) {
	m, err := decode(b)
	if err != nil {
		return nil, err
	}
	return m.Encode(), nil
}
