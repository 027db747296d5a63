package guest

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// headerLen is the length of a frame's header: kind (1 byte), payload length (4
// bytes, little endian).
const headerLen = 5

// maxFDs is how many descriptors one frame may carry (the kernel takes 253).
const maxFDs = 200

// Conn sends and receives frames over a connected unix stream socket. One
// goroutine may send while another receives.
type Conn struct {
	fd  int
	max int // largest payload that is accepted
}

// NewConn returns a Conn that uses fd, a blocking socket, and refuses payloads of
// more than max bytes. The Conn owns fd.
func NewConn(fd, max int) *Conn { return &Conn{fd: fd, max: max} }

// Close closes the socket. A receive in progress is not woken; see Shutdown.
func (c *Conn) Close() error { return unix.Close(c.fd) }

// Shutdown makes pending and later receives on both sides return io.EOF.
func (c *Conn) Shutdown() error { return unix.Shutdown(c.fd, unix.SHUT_RDWR) }

// Send sends a frame with descriptors attached. The caller keeps the descriptors.
func (c *Conn) Send(k Kind, payload []byte, fds ...int) error {
	if len(fds) > maxFDs {
		return fmt.Errorf("%d descriptors in one frame: at most %d", len(fds), maxFDs)
	}
	n := len(payload)
	frame := make([]byte, headerLen, headerLen+n)
	frame[0] = byte(k)
	frame[1], frame[2], frame[3], frame[4] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	frame = append(frame, payload...)
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	for len(frame) > 0 {
		sent, err := unix.SendmsgN(c.fd, frame, oob, nil, unix.MSG_NOSIGNAL)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		frame, oob = frame[sent:], nil
	}
	return nil
}

// Receive returns the next frame and the descriptors that came with it, which are
// close-on-exec and belong to the caller. It returns io.EOF when the other side has
// closed between frames and io.ErrUnexpectedEOF within one.
func (c *Conn) Receive() (Kind, []byte, []int, error) {
	var header [headerLen]byte
	oob := make([]byte, unix.CmsgSpace(4*maxFDs))
	var fds []int
	for got := 0; got < headerLen; {
		n, oobn, flags, _, err := unix.Recvmsg(c.fd, header[got:], oob, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && oobn > 0 {
			var more []int
			if more, err = parseRights(oob[:oobn]); err == nil && flags&unix.MSG_CTRUNC != 0 {
				err = ErrMalformed
			}
			fds = append(fds, more...)
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
			if got == 0 {
				err = io.EOF
			}
		}
		if err != nil {
			CloseAll(fds)
			return 0, nil, nil, err
		}
		got += n
	}
	size := int(header[1]) | int(header[2])<<8 | int(header[3])<<16 | int(header[4])<<24
	if size > c.max {
		CloseAll(fds)
		return 0, nil, nil, fmt.Errorf("%w: %d bytes in a frame, at most %d expected", ErrMalformed, size, c.max)
	}
	payload := make([]byte, size)
	for got := 0; got < size; {
		n, err := unix.Read(c.fd, payload[got:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			CloseAll(fds)
			return 0, nil, nil, err
		}
		got += n
	}
	return Kind(header[0]), payload, fds, nil
}

// CloseAll closes descriptors.
func CloseAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

func parseRights(oob []byte) ([]int, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var fds []int
	for i := range msgs {
		got, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			CloseAll(fds)
			return nil, err
		}
		fds = append(fds, got...)
	}
	return fds, nil
}
