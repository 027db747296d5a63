package policy

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Interpret runs a filter on d as the kernel would and returns its value and how
// many instructions it took. It knows the instructions that Compile uses and treats
// every other, and every jump out of the program, as an error.
func Interpret(p []unix.SockFilter, d Data) (value uint32, steps int, err error) {
	var mem [64]byte // struct seccomp_data
	binary.LittleEndian.PutUint32(mem[offNr:], d.Nr)
	binary.LittleEndian.PutUint32(mem[offArch:], d.Arch)
	for i, a := range d.Args {
		binary.LittleEndian.PutUint64(mem[offArgs+8*i:], a)
	}
	var acc uint32
	for pc := 0; pc < len(p); pc++ {
		steps++
		in := p[pc]
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			if in.K%4 != 0 || in.K > uint32(len(mem)-4) {
				return 0, steps, fmt.Errorf("instruction %d loads from %d", pc, in.K)
			}
			acc = binary.LittleEndian.Uint32(mem[in.K:])
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= in.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			pc += branch(in, acc == in.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			pc += branch(in, acc >= in.K)
		case unix.BPF_RET | unix.BPF_K:
			return in.K, steps, nil
		default:
			return 0, steps, fmt.Errorf("instruction %d has code %#x", pc, in.Code)
		}
	}
	return 0, steps, errors.New("the program ends without a return")
}

func branch(in unix.SockFilter, yes bool) int {
	if yes {
		return int(in.Jt)
	}
	return int(in.Jf)
}
