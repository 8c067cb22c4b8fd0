package transfer

import "strconv"

// DestMark is what a target leaves at a destination while an edge runs, so that the owner
// can tell whether the destination lies in the source, or the source in it: where both
// nodes reach one file system by different hosts, no number of the kernel says so. It
// is an empty file with a name that exists nowhere else, and the owner looks for that
// name. The zero value is none.
type DestMark struct {
	// In is its name where it lies in the destination itself, and Beside where there
	// is no such directory yet and it lies in the one above.
	In, Beside string
}

// MarkOf returns the names of the mark of one attempt. They have the form of the names
// of temporary files, which no transfer copies or deletes.
func MarkOf(uid UID, epoch uint64) DestMark {
	name := ".xferd." + uid.String() + "." + strconv.FormatUint(epoch, 10)
	return DestMark{In: name + ".in", Beside: name + ".beside"}
}
