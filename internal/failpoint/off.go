//go:build !failpoints

package failpoint

// On says whether the program was built with failpoints.
const On = false

// Hit passes a point. It is inlined, and empty.
func Hit(string) {}
