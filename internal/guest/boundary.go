package guest

// Kind is the type of a frame. These are all the calls that cross the boundary
// between host and sandbox.
type Kind uint8

// From the host to the guest.
const (
	// KindSetup builds the sandbox around the guest and takes its rights away. It
	// comes first and once; descriptors of mounts may be attached. Answer: KindReady
	// or KindFailed.
	KindSetup Kind = 1

	// KindStart starts a program whose standard descriptors are attached. Answer:
	// KindStarted and, when it has ended, KindExited; or KindFailed.
	KindStart Kind = 2

	// KindSignal delivers a signal to a program; nothing if it has ended. No answer.
	KindSignal Kind = 3

	// KindSeal comes once, after KindReady, when the host has looked at the guest from
	// outside: the guest makes itself unreadable. Answer: KindSealed. Empty.
	KindSeal Kind = 4
)

// From the guest to the host.
const (
	// KindAlarms comes once, before KindReady: the descriptor on which the system call
	// filter's alarms are answered is attached, and the guest keeps none. Empty.
	KindAlarms Kind = 70

	// KindReady says that the sandbox is built and the guest has given up all rights.
	// Nothing can be started before KindSealed.
	KindReady Kind = 65

	// KindFailed says which step of a KindSetup (id 0) or KindStart failed and why.
	KindFailed Kind = 66

	// KindStarted says that a program runs.
	KindStarted Kind = 67

	// KindExited says how a program ended and what it used.
	KindExited Kind = 68

	// KindSealed says that nothing inside can look into the guest. Empty.
	KindSealed Kind = 69
)

// Bounds on a frame's payload in bytes. Towards the guest it must hold the longest
// argument list and environment that Linux takes (a quarter of the stack limit,
// 2 MiB by default); from the guest only small fixed messages and names come.
const (
	MaxToGuest   = 8 << 20
	MaxFromGuest = 64 << 10
)
