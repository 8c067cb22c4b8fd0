// Package version tells what was built.
package version

import "runtime/debug"

// version is set by the linker (make build).
var version string

// String returns the version of this build, from the linker or from what the
// Go tool knows of the module.
func String() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
