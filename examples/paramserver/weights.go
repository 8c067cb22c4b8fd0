package main

import (
	"encoding/binary"
	"unsafe"

	"github.com/zeebo/xxh3"
)

// labelSize is the first page of the memory: it says what the weights behind it are.
const labelSize = 4096

// weights is memory that is pushed as a whole, so that a label and what it tells of
// come together. Server and workers are machines of one byte order.
type weights struct{ b []byte }

// label is what the first page says.
type label struct {
	version, last uint64
	digest        [16]byte
}

func (w weights) label() (l label) {
	l.version = binary.LittleEndian.Uint64(w.b)
	l.last = binary.LittleEndian.Uint64(w.b[8:])
	copy(l.digest[:], w.b[16:32])
	return l
}

func (w weights) setLabel(l label) {
	binary.LittleEndian.PutUint64(w.b, l.version)
	binary.LittleEndian.PutUint64(w.b[8:], l.last)
	copy(w.b[16:32], l.digest[:])
}

// values are the weights as numbers, in place.
func (w weights) values() []float32 {
	b := w.b[labelSize:]
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

func (w weights) digest() [16]byte { return xxh3.Hash128(w.b[labelSize:]).Bytes() }

// train makes the next version. It stands for hours on many machines.
func (w weights) train(version uint64) {
	for i, old := range w.values() {
		noise := uint32(i)*2654435761 + uint32(version)*40503
		w.values()[i] = 0.9*old + float32(noise>>8)/(1<<24)
	}
}

// report is what a worker sends back of a version.
type report struct {
	version uint64
	digest  [16]byte // of what it has
}

const reportSize = 32

// put writes a report with a sum, by which it can be told from one that is half there.
func (r report) put(b []byte) {
	binary.LittleEndian.PutUint64(b, r.version)
	copy(b[8:24], r.digest[:])
	binary.LittleEndian.PutUint64(b[24:], xxh3.Hash(b[:24]))
}

func getReport(b []byte) (r report, whole bool) {
	r.version = binary.LittleEndian.Uint64(b)
	copy(r.digest[:], b[8:24])
	return r, binary.LittleEndian.Uint64(b[24:]) == xxh3.Hash(b[:24])
}
