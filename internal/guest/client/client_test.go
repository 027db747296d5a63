package client

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/guest"
)

// testGuest returns a client and the other end of its socket, which has said that it
// is ready.
func testGuest(t *testing.T) (*Client, *guest.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, peer := New(fds[0]), guest.NewConn(fds[1], guest.MaxToGuest)
	t.Cleanup(func() { c.Close(); peer.Close() })
	return c, peer
}

func testReady(t *testing.T, c *Client, peer *guest.Conn) {
	t.Helper()
	if err := peer.Send(guest.KindReady, guest.Ready{Version: guest.Version}.Encode()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Setup(t.Context(), guest.Setup{Version: guest.Version}); err != nil {
		t.Fatal(err)
	}
	if err := peer.Send(guest.KindSealed, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []guest.Kind{guest.KindSetup, guest.KindSeal} {
		if kind, _, _, err := peer.Receive(); kind != want || err != nil {
			t.Fatalf("the guest got %v, %v; want %v", kind, err, want)
		}
	}
}

// testStart starts a program, which the guest says runs.
func testStart(t *testing.T, c *Client, peer *guest.Conn) (*Program, int) {
	t.Helper()
	id := make(chan int, 1)
	go func() {
		_, payload, _, _ := peer.Receive()
		m, _ := guest.DecodeStart(payload)
		peer.Send(guest.KindStarted, guest.Started{ID: m.ID, PID: 2}.Encode())
		id <- m.ID
	}()
	p, err := c.Start(t.Context(), guest.Start{Args: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	return p, <-id
}

func testEnded(t *testing.T, p *Program) (guest.Exited, bool) {
	t.Helper()
	select {
	case <-p.Ended():
	case <-time.After(10 * time.Second):
		t.Fatal("the program never ended")
	}
	m, _, ok := p.Result()
	return m, ok
}

func TestProgramEnds(t *testing.T) {
	c, peer := testGuest(t)
	testReady(t, c, peer)
	p, id := testStart(t, c, peer)
	// Nonsense about programs that are not there is passed over.
	peer.Send(guest.KindExited, guest.Exited{ID: 99, Status: 1}.Encode())
	peer.Send(guest.KindExited, guest.Exited{ID: id, Status: 7}.Encode())
	peer.Send(guest.KindExited, guest.Exited{ID: id, Status: 8}.Encode())
	if m, ok := testEnded(t, p); !ok || m.Status != 7 {
		t.Errorf("ended with %+v, %v", m, ok)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal after the end: %v", err)
	}
}

func TestHostileGuest(t *testing.T) {
	for what, attack := range map[string]func(*guest.Conn){
		"unknown kind":  func(g *guest.Conn) { g.Send(200, nil) },
		"host's kind":   func(g *guest.Conn) { g.Send(guest.KindSetup, guest.Setup{}.Encode()) },
		"ready again":   func(g *guest.Conn) { g.Send(guest.KindReady, guest.Ready{Version: 1}.Encode()) },
		"short payload": func(g *guest.Conn) { g.Send(guest.KindExited, []byte{1}) },
		"large frame":   func(g *guest.Conn) { g.Send(guest.KindFailed, make([]byte, guest.MaxFromGuest+1)) },
		"impossible exit": func(g *guest.Conn) {
			g.Send(guest.KindExited, guest.Exited{ID: 1, Status: 999}.Encode())
		},
		"end of file": func(g *guest.Conn) { g.Shutdown() },
	} {
		t.Run(what, func(t *testing.T) {
			c, peer := testGuest(t)
			testReady(t, c, peer)
			p, _ := testStart(t, c, peer)
			attack(peer)
			if m, ok := testEnded(t, p); ok {
				t.Errorf("ended with %+v, want it lost", m)
			}
			if _, err := c.Start(t.Context(), guest.Start{Args: []string{"x"}}); !errors.Is(err, ErrGone) {
				t.Errorf("Start afterwards: %v, want ErrGone", err)
			}
		})
	}
}

// A guest that floods the host with descriptors must not use up the host's.
func TestDescriptorsFromGuestAreClosed(t *testing.T) {
	c, peer := testGuest(t)
	testReady(t, c, peer)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 50 {
		if err := peer.Send(guest.KindExited, guest.Exited{ID: 99}.Encode(), int(w.Fd()), int(w.Fd())); err != nil {
			t.Fatal(err)
		}
	}
	peer.Shutdown()
	<-c.done
	w.Close()
	r.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := r.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a descriptor that the guest sent is still open: %d, %v", n, err)
	}
}

func TestSetupFails(t *testing.T) {
	c, peer := testGuest(t)
	peer.Send(guest.KindFailed, guest.Failed{Step: "view", Detail: "/x", Errno: int(unix.EPERM)}.Encode())
	_, _, err := c.Setup(t.Context(), guest.Setup{Version: guest.Version})
	var f *Failure
	if !errors.As(err, &f) || f.Step != "view" || !errors.Is(err, unix.EPERM) || f.Error() != "/x: operation not permitted" {
		t.Errorf("Setup = %v", err)
	}

	c, peer = testGuest(t)
	peer.Send(guest.KindReady, guest.Ready{Version: guest.Version + 1}.Encode())
	if _, _, err := c.Setup(t.Context(), guest.Setup{}); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("another version: %v", err)
	}
}

func TestSetupGivenUp(t *testing.T) {
	c, _ := testGuest(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := c.Setup(ctx, guest.Setup{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Setup = %v, want context.Canceled", err)
	}
}

func TestStartIsTooLong(t *testing.T) {
	c, peer := testGuest(t)
	testReady(t, c, peer)
	_, err := c.Start(t.Context(), guest.Start{Args: []string{strings.Repeat("x", guest.MaxToGuest)}})
	if !errors.Is(err, unix.E2BIG) {
		t.Errorf("Start = %v, want E2BIG", err)
	}
}
