package verbs

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/transport"
)

// cellSize is the size of a header cell: a fixed part, then the Chunk and the
// Trailer frame of a chunk, as package wire has them. 512 extents of one segment
// each take less than half of it.
const cellSize = 64 << 10

// The fixed part: magic, checksum of what follows in it, epoch, generation, and
// the lengths of both frames and of the data. Little-endian.
const (
	cellFixed = 40
	cellMagic = 0x63667278
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealCell completes a cell whose frames lie behind the fixed part.
func sealCell(cell []byte, epoch uint64, generation uint16, head, tail int, data int64) {
	le := binary.LittleEndian
	le.PutUint32(cell, cellMagic)
	le.PutUint64(cell[8:], epoch)
	le.PutUint32(cell[16:], uint32(generation))
	le.PutUint32(cell[20:], uint32(head))
	le.PutUint32(cell[24:], uint32(tail))
	le.PutUint32(cell[28:], 0)
	le.PutUint64(cell[32:], uint64(data))
	checksum(cell)
}

// smallChunk is the size of a chunk up to which the time that it takes counts, and
// not the rate.
const smallChunk = 64 << 10

// small reports whether a cell says that its chunk is small. Nothing is believed of
// it yet.
func small(cell []byte) bool { return binary.LittleEndian.Uint64(cell[32:]) <= smallChunk }

// checksum closes the fixed part of a cell.
func checksum(cell []byte) {
	binary.LittleEndian.PutUint32(cell[4:], crc32.Checksum(cell[8:cellFixed], castagnoli))
}

// copyCell copies what is used of a cell: the peer can still write to it.
func copyCell(dst, cell []byte) []byte {
	dst = append(dst[:0], cell[:cellFixed]...)
	n := int64(binary.LittleEndian.Uint32(dst[20:])) + int64(binary.LittleEndian.Uint32(dst[24:]))
	return append(dst, cell[cellFixed:cellFixed+min(n, int64(len(cell)-cellFixed))]...)
}

// openCell checks a cell and returns the payloads of its frames and the length
// of the data. cell is a copy of copyCell.
func openCell(cell []byte, epoch uint64, generation uint16) (head, tail []byte, data int64, err error) {
	le := binary.LittleEndian
	if len(cell) < cellFixed || le.Uint32(cell) != cellMagic || le.Uint32(cell[4:]) != crc32.Checksum(cell[8:cellFixed], castagnoli) {
		return nil, nil, 0, fmt.Errorf("%w: a header cell without a header", errMessage)
	}
	if e, g := le.Uint64(cell[8:]), le.Uint32(cell[16:]); e != epoch || g != uint32(generation) {
		return nil, nil, 0, fmt.Errorf("%w: a chunk of epoch %d, generation %d where %d, %d has to be", transport.ErrStaleEpoch, e, g, epoch, generation)
	}
	n, m := int64(le.Uint32(cell[20:])), int64(le.Uint32(cell[24:]))
	if n+m > int64(len(cell)-cellFixed) {
		return nil, nil, 0, fmt.Errorf("%w: a header of %d and %d bytes", errMessage, n, m)
	}
	if head, _, err = frame(cell[cellFixed:cellFixed+n], wire.TypeChunk); err != nil {
		return nil, nil, 0, err
	}
	if tail, _, err = frame(cell[cellFixed+n:cellFixed+n+m], wire.TypeTrailer); err != nil {
		return nil, nil, 0, err
	}
	return head, tail, int64(le.Uint64(cell[32:])), nil
}
