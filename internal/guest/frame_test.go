package guest

import (
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func testPair(t *testing.T, max int) (a, b *Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b = NewConn(fds[0], max), NewConn(fds[1], max)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestFrameCarriesDescriptors(t *testing.T) {
	a, b := testPair(t, 1<<20)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	payload := make([]byte, 600<<10) // more than a socket buffer holds
	payload[len(payload)-1] = 7
	sent := make(chan error, 1)
	go func() { sent <- a.Send(KindStart, payload, int(w.Fd())) }()
	kind, got, fds, err := b.Receive()
	if err != nil || kind != KindStart || len(got) != len(payload) || got[len(got)-1] != 7 || len(fds) != 1 {
		t.Fatalf("Receive = %v, %d bytes, descriptors %v, %v", kind, len(got), fds, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	w.Close()
	if flags, _ := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
		t.Error("a received descriptor is not close-on-exec")
	}
	unix.Write(fds[0], []byte("x"))
	CloseAll(fds)
	if text, err := io.ReadAll(r); err != nil || string(text) != "x" {
		t.Errorf("through the received descriptor came %q, %v", text, err)
	}
}

func TestReceiveRefusesLargeAndTornFrames(t *testing.T) {
	a, b := testPair(t, 10)
	if err := a.Send(KindReady, make([]byte, 11)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := b.Receive(); !errors.Is(err, ErrMalformed) {
		t.Errorf("a frame over the limit: %v, want ErrMalformed", err)
	}

	a, b = testPair(t, 10)
	unix.Write(a.fd, []byte{byte(KindReady), 5, 0, 0, 0, 'x'})
	a.Shutdown()
	if _, _, _, err := b.Receive(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a torn frame: %v, want io.ErrUnexpectedEOF", err)
	}

	a, b = testPair(t, 10)
	a.Shutdown()
	if _, _, _, err := b.Receive(); err != io.EOF {
		t.Errorf("a closed peer: %v, want io.EOF", err)
	}
}
