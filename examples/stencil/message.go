package main

import (
	"encoding/binary"
	"unsafe"

	"github.com/zeebo/xxh3"
)

// A message is rows in a region behind a stamp: the step that they are of, and a sum.
// A rise of a region's generation says that something may have come; the stamp says
// what. For the generation also rises when a node is started again, and when a post
// whose answer was lost is done once more.
const stampSize = 16

// messageSize is what a message of so many cells takes, in whole pages.
func messageSize(cells int) int64 { return (stampSize + 8*int64(cells) + 4095) &^ 4095 }

// put writes a message to b.
func put(b []byte, step int, cells []float64) {
	copy(b[stampSize:], bytesOf(cells))
	binary.LittleEndian.PutUint64(b, uint64(step))
	binary.LittleEndian.PutUint64(b[8:], sum(b, len(cells)))
}

// get reads the message of a step into cells, if that is what b has.
func get(b []byte, step int, cells []float64) bool {
	if binary.LittleEndian.Uint64(b) != uint64(step) || binary.LittleEndian.Uint64(b[8:]) != sum(b, len(cells)) {
		return false
	}
	copy(bytesOf(cells), b[stampSize:])
	return true
}

func sum(b []byte, cells int) uint64 {
	return xxh3.HashSeed(b[stampSize:stampSize+8*cells], binary.LittleEndian.Uint64(b))
}

// bytesOf are the cells as they lie in memory: both machines have one byte order.
func bytesOf(cells []float64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(cells))), 8*len(cells))
}
