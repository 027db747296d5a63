// Package guarantee is the table of what sandboxed code cannot do: one sentence
// for each guarantee that a backend can declare. The same rows are declared by
// backends, attacked by the conformance suite and printed for the user.
package guarantee

import "github.com/ringwall/ringwall/internal/sandbox"

// Row is one guarantee and the sentence that states it: "The code inside …".
type Row struct {
	ID       sandbox.Guarantee
	Sentence string
}

// Table lists every guarantee in the order in which people are shown them.
var Table = []Row{
	{sandbox.HostFSHidden, "cannot read host files it was not given"},
	{sandbox.ROHonoured, "cannot write what was given read-only"},
	{sandbox.HostPIDsHidden, "cannot see or signal host processes"},
	{sandbox.IPCHidden, "reaches no host socket, queue, key or shared memory"},
	{sandbox.NoNewPrivs, "gains nothing from set-uid files"},
	{sandbox.CapsDropped, "holds no capability that matters on the host"},
	{sandbox.NotHostRoot, "is never uid 0 of the host"},
	{sandbox.UIDMapped, "has no uid that owns anything outside"},
	{sandbox.SyscallsFiltered, "is refused dangerous system calls, on every ABI"},
	{sandbox.DevicesHidden, "reaches no host devices beyond null zero full random urandom tty ptmx"},
	{sandbox.NetDefaultDeny, "reaches no network address"},
	{sandbox.MemCapped, "uses no more memory than its share"},
	{sandbox.PIDsCapped, "has no more processes and threads than its share"},
	{sandbox.DiesWhole, "leaves no process behind when the sandbox is destroyed"},
	{sandbox.GuestProtected, "cannot trace, signal or impersonate the guest"},
	{sandbox.SecretsAbsent, "finds no secret that Ringwall placed there"},
}

// Sentence returns the sentence of g, and whether g is in the table.
func Sentence(g sandbox.Guarantee) (string, bool) {
	for _, r := range Table {
		if r.ID == g {
			return r.Sentence, true
		}
	}
	return "", false
}
