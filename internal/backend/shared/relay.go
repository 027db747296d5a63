package shared

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// relay moves bytes from src to dst until either end closes. It runs on a thread
// of its own in blocking system calls: one of the two descriptors is the caller's,
// and setting that non-blocking would change it for everybody who shares it.
type relay struct {
	src, dst int
	ours     int  // the one of the two that is our pipe
	in       bool // caller to program
	finish   int  // eventfd, readable once the program has ended
	once     sync.Once
}

const relayChunk = 1 << 20 // bytes per splice at most; the pipe's size is the real bound

// run relays and then closes our end, so that the close reaches the program:
// end of file on its stdin, SIGPIPE on its stdout.
func (r *relay) run() {
	defer r.close()
	defer r.giveBack()
	var buf []byte // set once splice cannot serve this pair
	for {
		ended, ok := r.await()
		if !ok {
			return
		}
		var n int
		var err error
		if buf == nil {
			var n64 int64
			n64, err = unix.Splice(r.src, nil, r.dst, nil, relayChunk, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
			n = int(n64)
			if err == unix.EINVAL {
				// dst is O_APPEND, or a device without splice support.
				buf = make([]byte, 64<<10)
				continue
			}
		} else {
			if n, err = unix.Read(r.src, buf); err == nil && n > 0 {
				err = r.writeAll(buf[:n])
			}
		}
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			// await saw bytes in src, so it is dst that is full.
			if ended && r.in || !r.awaitSpace() {
				return
			}
		case err != nil || n == 0:
			return
		}
	}
}

// giveBack moves the caller's offset in a regular file back to where the program has
// read: what is left in the pipe is for whoever reads the file next, as in
// `while read line; do ringwall run -- …; done < file`. Of a pipe or terminal what was
// read ahead is lost, as with ssh(1).
func (r *relay) giveBack() {
	var st unix.Stat_t
	if !r.in || unix.Fstat(r.src, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return
	}
	if left, err := unix.IoctlGetInt(r.ours, unix.TIOCINQ); err == nil && left > 0 {
		unix.Seek(r.src, -int64(left), unix.SEEK_CUR)
	}
}

// await blocks until src has bytes or has ended. ok is false when relaying is over:
// the program has ended and nothing is left, or the reader of dst is gone.
func (r *relay) await() (ended, ok bool) {
	fds := []unix.PollFd{
		{Fd: int32(r.src), Events: unix.POLLIN},
		{Fd: int32(r.finish), Events: unix.POLLIN},
		{Fd: int32(r.dst)}, // POLLERR only
	}
	for {
		fds[0].Revents, fds[1].Revents, fds[2].Revents = 0, 0, 0
		if _, err := unix.Poll(fds, -1); err != nil {
			if err == unix.EINTR {
				continue
			}
			return false, false
		}
		ended = fds[1].Revents != 0
		switch {
		case ended && r.in:
			return true, false
		case fds[2].Revents&(unix.POLLERR|unix.POLLNVAL) != 0:
			return ended, false
		case fds[0].Revents != 0:
			return ended, true
		case ended:
			return true, false
		}
	}
}

// awaitSpace blocks until dst takes bytes. Input gives up when the program ends;
// output does not: what was written is delivered.
func (r *relay) awaitSpace() bool {
	fds := []unix.PollFd{{Fd: int32(r.dst), Events: unix.POLLOUT}, {Fd: int32(r.finish), Events: unix.POLLIN}}
	if !r.in {
		fds = fds[:1]
	}
	for {
		_, err := unix.Poll(fds, -1)
		if err == unix.EINTR {
			continue
		}
		return err == nil && fds[0].Revents&unix.POLLOUT != 0 && fds[0].Revents&unix.POLLERR == 0
	}
}

func (r *relay) writeAll(p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(r.dst, p)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			if !r.awaitSpace() {
				return unix.EPIPE
			}
		case err != nil:
			return err
		default:
			p = p[n:]
		}
	}
	return nil
}

func (r *relay) close() { r.once.Do(func() { unix.Close(r.ours) }) }
