// Package guest is the protocol between the host and ringwall-guest, the program
// that is PID 1 in every sandbox: frames, messages and their encoding. It is linked
// into both sides, so it imports only x/sys. It holds no behaviour of either side:
// that of the guest is in cmd/ringwall-guest, that of the host in guest/client.
//
// The host treats every byte that it reads from a guest as hostile: frames, counts
// and strings are bounded before anything is allocated, and decoders are fuzzed.
package guest

// Version is the protocol's version. Both sides refuse any other: they are built
// and installed together, so a difference is a broken installation.
const Version = 2

// ControlFD is the descriptor on which the guest finds its control socket.
const ControlFD = 3
