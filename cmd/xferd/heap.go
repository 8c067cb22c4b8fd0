package main

import (
	"os"
	"runtime"
)

// heapFloor is the size in bytes below which the heap is not collected: half
// of what a new cycle waits for is this much, in address space that is never
// touched. A copy of a tree allocates fast over a live heap of a few MiB, and
// with Go's default a tenth of its CPU time goes into collecting it again and
// again. A memory limit with a larger GOGC saves the same, but turns against
// the daemon once the live heap is near the limit; this fades out as the heap
// grows.
const heapFloor = 32 << 20

// keepHeapFloor is in force until the returned function is called. Somebody who
// sets the collector by GOGC or GOMEMLIMIT gets what they ask for.
func keepHeapFloor() (release func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	floor := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(floor) }
}
