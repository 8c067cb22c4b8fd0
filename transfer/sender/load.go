package sender

import (
	"errors"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/plan"
	"github.com/xferd/xferd/transfer/scan"
	"github.com/xferd/xferd/transport"
)

// errReturned marks an extent that was not loaded and goes later.
var errReturned = errors.New("not sent yet")

// maxByFile is how many files one pack opens when they are not read into
// memory, which bounds the descriptors.
const maxByFile = 32

// fill puts sources to the extents of a load. An extent that cannot be read is
// left out, with a verdict.
func (e *Edge) fill(l *load) {
	if l.want.Pack && !l.byFile && e.borrow(l) {
		l.final = true
		at := 0
		for i := range l.want.Extents {
			n := int(l.want.Extents[i].Length)
			e.fillSmall(l, i, l.buf.Bytes()[at:at+n:at+n])
			at += n
		}
	} else {
		for i := range l.want.Extents {
			if i >= maxByFile {
				l.leave(i, errReturned)
				continue
			}
			if err := e.fillLarge(l, i); err != nil {
				l.leave(i, err)
			}
		}
	}
	l.bind()
}

// borrow gets memory for a pack. It does not wait: a node that sends and
// receives could hold up itself when the memory that waits for other nodes'
// acknowledgements is all there is, so half of the budget is left to others.
func (e *Edge) borrow(l *load) bool {
	var size int64
	for i := range l.want.Extents {
		size += l.want.Extents[i].Length
	}
	p := e.cfg.Pool
	if p == nil || p.InUse() > p.Budget()/2 {
		return false
	}
	buf, ok := p.TryGet(int(size))
	if ok {
		l.buf = buf
	}
	return ok
}

// leave leaves extent i out.
func (l *load) leave(i int, err error) {
	l.verdicts[i] = transport.Verdict{Code: transport.SourceFailed, Err: err}
}

// add makes extent i of the plan the next one of the chunk. Its segments and
// bodies are those appended since from.
func (l *load) add(i, from int) *transport.Extent {
	x := &l.want.Extents[i]
	l.index = append(l.index, i)
	l.chunk.Extents = append(l.chunk.Extents, transport.Extent{
		ExtentHeader: transport.ExtentHeader{Entry: x.Entry, Offset: x.Offset, Length: x.Length, Segments: l.segments[from:]},
	})
	for _, s := range l.segments[from:] {
		l.moved[i] += s.Length
	}
	return &l.chunk.Extents[len(l.chunk.Extents)-1]
}

// bind sets the segments and bodies of the chunk's extents, now that the arrays
// they are in do not move any more.
func (l *load) bind() {
	at, placed := 0, 0
	for j := range l.chunk.Extents {
		x := &l.chunk.Extents[j]
		n, p := at+len(x.Segments), placed+len(x.Places)
		x.Segments, x.Bodies = l.segments[at:n:n], l.bodies[at:n:n]
		if x.Places != nil {
			x.Places = l.places[placed:p:p]
		}
		at, placed = n, p
	}
}

// fillSmall reads a whole small file into b.
func (e *Edge) fillSmall(l *load, i int, b []byte) {
	f := &l.entries[i].found
	n, info, err := e.dirs.ReadSmall(f.At, b)
	if noDescriptors(err) {
		n, info, err = e.readSmallLater(f, b)
	}
	if err == nil && (n != len(b) || scan.PrintOf(&info) != f.Print) {
		err = errChanged
	}
	if err != nil {
		l.leave(i, err)
		return
	}
	from := len(l.segments)
	if f.Flags&transfer.EntrySparse != 0 {
		l.segments = appendData(l.segments, b)
		for _, s := range l.segments[from:] {
			l.bodies = append(l.bodies, transport.Body{Mem: b[s.Offset:s.End()]})
		}
	} else {
		l.segments = append(l.segments, transport.Range{Length: int64(len(b))})
		l.bodies = append(l.bodies, transport.Body{Mem: b})
	}
	x := l.add(i, from)
	x.Final = true
	if e.hash {
		x.Digest = xxh3.Hash128(b).Bytes()
	}
}

// fillLarge puts files to extent i, or memory where it arrived corrupted before
// or has too many sources.
func (e *Edge) fillLarge(l *load, i int) error {
	x, f := &l.want.Extents[i], &l.entries[i].found
	from := len(l.segments)
	undo := func() { l.segments, l.bodies = l.segments[:from], l.bodies[:from] }
	var err error
	switch {
	case x.Plain:
		err = e.fillPlain(l, l.entries[i], x)
	case f.Assembly != nil:
		if err = e.fillAssembly(l, l.entries[i], x); errors.Is(err, errManyPieces) {
			undo()
			err = e.fillPlain(l, l.entries[i], x)
		}
	default:
		err = e.fillFile(l, l.entries[i], x)
	}
	if err != nil {
		undo()
		return err
	}
	places := len(l.places)
	if e.layout != nil {
		if l.places, err = e.layout.Places(l.places, x.Offset, x.Length); err != nil {
			undo()
			return err
		}
	}
	var digest transport.Digest
	if e.layout != nil && l.byFile && e.hash {
		if digest, err = e.digestOf(l.entries[i], x); err != nil {
			undo()
			return err
		}
	}
	added := l.add(i, from)
	if e.layout != nil {
		added.Places, added.Digest = l.places[places:], digest
	}
	// What is a region's memory as well is hashed where it is read.
	if e.hash && len(added.Segments) == 1 && added.Segments[0].Length == x.Length {
		if b := &l.bodies[from]; b.File == nil && b.Mem != nil {
			added.Digest = xxh3.Hash128(b.Mem).Bytes()
		}
	}
	return nil
}

// fillFile puts the ranges of an ordinary file that hold data.
func (e *Edge) fillFile(l *load, n *entry, x *plan.Extent) error {
	file, err := e.files.get(n, 0)
	if err != nil {
		return err
	}
	l.files = append(l.files, file)
	from := len(l.segments)
	if n.found.Flags&transfer.EntrySparse != 0 {
		err := file.DataRanges(x.Offset, x.Offset+x.Length, func(off, length int64) error {
			l.segments = append(l.segments, transport.Range{Offset: off, Length: length})
			return nil
		})
		if err != nil {
			return err
		}
		l.segments = l.segments[:from+len(coalesce(l.segments[from:], transport.MaxSegments))]
	} else {
		l.segments = append(l.segments, transport.Range{Offset: x.Offset, Length: x.Length})
	}
	for _, s := range l.segments[from:] {
		l.bodies = append(l.bodies, transport.Body{File: file.OS(), FileOffset: s.Offset})
	}
	return nil
}

// errManyPieces: an extent has more pieces than a message takes.
var errManyPieces = errors.New("the extent has too many pieces")

// fillAssembly puts the pieces that an extent is made of.
func (e *Edge) fillAssembly(l *load, n *entry, x *plan.Extent) error {
	from := len(l.segments)
	return eachPiece(n.found.Assembly, x.Offset, x.Offset+x.Length, func(p scan.AssemblyPiece) error {
		if len(l.segments)-from == transport.MaxSegments {
			return errManyPieces
		}
		file, err := e.files.get(n, p.File)
		if err != nil {
			return err
		}
		l.files = append(l.files, file)
		l.segments = append(l.segments, transport.Range{Offset: p.Dest, Length: p.Length})
		b := transport.Body{File: file.OS(), FileOffset: p.Offset}
		if file.memory != nil {
			b.Mem = file.memory[p.Offset : p.Offset+p.Length : p.Offset+p.Length]
		}
		l.bodies = append(l.bodies, b)
		return nil
	})
}

// fillPlain reads an extent into memory of its own, where it was corrupted or has
// more pieces than a message takes.
func (e *Edge) fillPlain(l *load, n *entry, x *plan.Extent) error {
	var b []byte
	if p := e.cfg.Pool; l.buf == nil && p != nil && p.InUse() <= p.Budget()/2 {
		if buf, ok := p.TryGet(int(x.Length)); ok {
			l.buf = buf
			b = buf.Bytes()[:x.Length:x.Length]
			clear(b)
		}
	}
	if b == nil {
		b = make([]byte, x.Length)
	}
	if err := e.readExtent(n, x.Offset, b); err != nil {
		return err
	}
	l.segments = append(l.segments, transport.Range{Offset: x.Offset, Length: x.Length})
	l.bodies = append(l.bodies, transport.Body{Mem: b})
	return nil
}

// readExtent reads the content of an entry, holes as zeros. b is zeroed.
func (e *Edge) readExtent(n *entry, offset int64, b []byte) error {
	var file *openFile // that of the piece before, which is often the same
	var index int
	defer func() {
		if file != nil {
			e.files.put(file)
		}
	}()
	read := func(of int, from int64, b []byte) error {
		if file == nil || of != index {
			next, err := e.files.get(n, of)
			if err != nil {
				return err
			}
			if file != nil {
				e.files.put(file)
			}
			file, index = next, of
		}
		got, err := file.Pread(b, from)
		if err == nil && got < len(b) {
			err = errChanged
		}
		return err
	}
	if n.found.Assembly == nil {
		return read(0, offset, b)
	}
	return eachPiece(n.found.Assembly, offset, offset+int64(len(b)), func(p scan.AssemblyPiece) error {
		return read(p.File, p.Offset, b[p.Dest-offset:p.Dest-offset+p.Length])
	})
}
