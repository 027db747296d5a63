// Package version knows which build this is.
package version

import "runtime/debug"

// Version and Commit are set by the linker; `make build` takes them from git.
var (
	Version string
	Commit  string
)

// Get returns the version and commit of this build, as far as they are known.
func Get() (version, commit string) {
	version, commit = Version, Commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if version == "" {
			version = info.Main.Version // set by `go install …@v1.2.3`
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && commit == "" {
				commit = s.Value
			}
		}
	}
	if version == "" || version == "(devel)" {
		version = "devel"
	}
	return version, commit
}
