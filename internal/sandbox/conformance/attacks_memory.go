package conformance

import (
	"context"

	"github.com/ringwall/ringwall/internal/sandbox"
	"github.com/ringwall/ringwall/internal/testenv"
)

// The limit, and what is tried to take: enough to tell, and no danger to the host in the
// control, where nothing stops it.
const (
	memoryLimit = 64 << 20
	memoryTried = "192"
)

// memoryAttacks take more memory than the sandbox has, each kind by its own way into the
// kernel's accounts.
var memoryAttacks = []attack{
	takeMemory("memory of one process", "anonymous", "/"),
	takeMemory("memory of many processes", "processes", "/"),
	takeMemory("files in memory", "file", "/tmp"),
	takeMemory("shared memory", "file", "/dev/shm"),
	takeMemory("pages of no file", "memfd", "/"),
}

func takeMemory(name, kind, where string) attack {
	return attack{guarantee: sandbox.MemCapped, name: name, omit: "cgroup",
		outside: func(f *fixture) (map[string]bool, string) {
			f.spec.Limits.MemoryBytes = memoryLimit
			box, err := f.backend.Create(f.ctx, f.spec)
			if sandbox.CodeOf(err) == sandbox.CodeUnsupported {
				testenv.Missing(f.T, "memory", err.Error())
			}
			if err != nil {
				f.Fatal(err)
			}
			f.boxOnce.Do(func() { f.box = box })
			f.Cleanup(func() { box.Destroy(context.Background()) })
			o := f.run(f.cmd("attack-memory", kind, memoryTried, where))
			broken := o.exit.Reason == sandbox.ReasonExited && o.exit.Code == 0
			f.Logf("%+v %s%s", o.exit, o.stdout, o.stderr)
			if s, ok := sandbox.As[sandbox.Statser](box); ok && !broken {
				if err := box.Destroy(context.Background()); err != nil {
					f.Fatal(err)
				}
				stats, err := s.Stats()
				if err != nil {
					f.Fatal(err)
				}
				// What is charged while a process ends may go over the limit by some pages.
				if stats.MemoryPeak != -1 && stats.MemoryPeak > memoryLimit+1<<20 || stats.OOMKills == 0 {
					f.Errorf("it had %+v", stats)
				}
			}
			return map[string]bool{"memory": broken}, ""
		}}
}
