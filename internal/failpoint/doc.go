// Package failpoint names the steps of the code between which a process may die.
// A program that is built with the tag failpoints can be told to die at one of
// them, or to wait there, and writes down those that it passes: so a test kills
// it at every step, one after the other. Without the tag nothing of it is left in
// the program.
package failpoint

// What a process with failpoints is told by its environment, as it starts.
const (
	// Plan says what is done at which points: orders NAME:N:kill,
	// NAME:N:panic and NAME:N:hold=FILE, separated by semicolons. NAME is that of a point, or * for
	// any; N counts from 1. To hold is to make the file and to wait until somebody
	// removes it.
	Plan = "XFERD_FAILPOINT"
	// Trace names a file to which every point that is passed is appended, a line
	// each.
	Trace = "XFERD_FAILPOINT_TRACE"
)
