package receiver

import (
	"encoding/binary"
	"errors"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// The frames of a transfer's journal at the target. Numbers are varints,
// strings are a length and bytes. A frame of a type that is not known here was
// written by a newer version, and the log says so by its format.
const (
	frameAttempt    = iota + 1 // an edge began: what follows has its entry numbers and temp names
	frameDir                   // a directory is about to be made
	frameDirNot                // it was not made by us after all
	frameTemps                 // temps are about to be made
	frameTemp                  // one of them, of a large file, was made, and has no bytes yet
	frameLanded                // extents that are in a temp
	frameVoid                  // the temp of an entry is gone, or what landed in it does not count
	frameCommitting            // the decision point of a batch: what follows are renames
	frameCommitted             // the batch is over, every temp of it is renamed or gone
	frameSettled               // every temp named before is renamed, gone or in the index of partials
	frameDirsOver              // no directory named before is ours to remove any more
)

var errFrame = errors.New("malformed frame in the journal")

type attemptFrame struct {
	Epoch     uint64
	Temps     string // prefix of the temps' names
	ChunkSize int64
	Source    string // node
}

// tempFrame describes the temp of a large file.
type tempFrame struct {
	Entry    uint64
	Name     string // of the temp
	OldName  string // where it is an adopted partial: its name until the rename
	Dev, Ino uint64
	Dir      string // absolute
	Final    string // name in Dir
	Print    transfer.Fingerprint
}

type landedExtent struct {
	Entry          uint64
	Offset, Length int64
	Digest         transport.Digest
}

// smallTemp is one temp of a batch.
type smallTemp struct {
	Entry uint64
	Dir   string
	Temp  uint64 // number of the name
	Ino   uint64 // 0 where it is not known
	Final string
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendPrint(b []byte, p transfer.Fingerprint) []byte {
	b = binary.AppendUvarint(b, p.Dev)
	b = binary.AppendUvarint(b, p.Ino)
	b = binary.AppendVarint(b, p.Size)
	b = binary.AppendVarint(b, p.Mtime)
	return binary.AppendVarint(b, p.Ctime)
}

func (f *attemptFrame) append(b []byte) []byte {
	b = binary.AppendUvarint(b, f.Epoch)
	b = appendString(b, f.Temps)
	b = binary.AppendUvarint(b, uint64(f.ChunkSize))
	return appendString(b, f.Source)
}

func (f *tempFrame) append(b []byte) []byte {
	b = binary.AppendUvarint(b, f.Entry)
	b = appendString(b, f.Name)
	b = appendString(b, f.OldName)
	b = binary.AppendUvarint(b, f.Dev)
	b = binary.AppendUvarint(b, f.Ino)
	b = appendString(b, f.Dir)
	b = appendString(b, f.Final)
	return appendPrint(b, f.Print)
}

func appendLanded(b []byte, list []landedExtent) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for i := range list {
		l := &list[i]
		b = binary.AppendUvarint(b, l.Entry)
		b = binary.AppendUvarint(b, uint64(l.Offset))
		b = binary.AppendUvarint(b, uint64(l.Length))
		b = append(b, l.Digest[:]...)
	}
	return b
}

// appendTemps writes the temps, naming a directory once for all that follow
// each other in it. It is the body of frameTemps and frameCommitting.
func appendTemps(b []byte, list []smallTemp) []byte {
	for i := 0; i < len(list); {
		n := i + 1
		for n < len(list) && list[n].Dir == list[i].Dir {
			n++
		}
		b = appendString(b, list[i].Dir)
		b = binary.AppendUvarint(b, uint64(n-i))
		for ; i < n; i++ {
			t := &list[i]
			b = binary.AppendUvarint(b, t.Entry)
			b = binary.AppendUvarint(b, t.Temp)
			b = binary.AppendUvarint(b, t.Ino)
			b = appendString(b, t.Final)
		}
	}
	return b
}

func appendNumbers(b []byte, list []uint64) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, n := range list {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// frameReader decodes one payload. After the first error everything is zero.
type frameReader struct {
	b   []byte
	bad bool
}

func (r *frameReader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *frameReader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *frameReader) string() string {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *frameReader) print() (p transfer.Fingerprint) {
	p.Dev, p.Ino = r.uint(), r.uint()
	p.Size, p.Mtime, p.Ctime = r.int(), r.int(), r.int()
	return p
}

func (r *frameReader) digest() (d transport.Digest) {
	if len(r.b) < len(d) {
		r.bad, r.b = true, nil
		return d
	}
	copy(d[:], r.b)
	r.b = r.b[len(d):]
	return d
}

// end returns an error unless everything was read and good.
func (r *frameReader) end() error {
	if r.bad || len(r.b) != 0 {
		return errFrame
	}
	return nil
}

func decodeAttempt(b []byte) (f attemptFrame, err error) {
	r := frameReader{b: b}
	f.Epoch, f.Temps, f.ChunkSize, f.Source = r.uint(), r.string(), int64(r.uint()), r.string()
	if f.ChunkSize < transfer.MinChunkSize || f.ChunkSize > transfer.MaxChunkSize {
		r.bad = true
	}
	return f, r.end()
}

func decodeTemp(b []byte) (f tempFrame, err error) {
	r := frameReader{b: b}
	f.Entry, f.Name, f.OldName = r.uint(), r.string(), r.string()
	f.Dev, f.Ino = r.uint(), r.uint()
	f.Dir, f.Final, f.Print = r.string(), r.string(), r.print()
	return f, r.end()
}

func decodeLanded(b []byte, yield func(landedExtent)) error {
	r := frameReader{b: b}
	for n := r.uint(); n > 0 && !r.bad; n-- {
		l := landedExtent{Entry: r.uint(), Offset: int64(r.uint()), Length: int64(r.uint()), Digest: r.digest()}
		if l.Offset < 0 || l.Length < 0 {
			r.bad = true
		}
		if !r.bad {
			yield(l)
		}
	}
	return r.end()
}

func decodeTemps(b []byte, yield func(smallTemp)) error {
	r := frameReader{b: b}
	for len(r.b) > 0 && !r.bad {
		dir := r.string()
		for n := r.uint(); n > 0 && !r.bad; n-- {
			t := smallTemp{Entry: r.uint(), Dir: dir, Temp: r.uint(), Ino: r.uint(), Final: r.string()}
			if !r.bad {
				yield(t)
			}
		}
	}
	return r.end()
}

func decodeNumbers(b []byte, yield func(uint64)) error {
	r := frameReader{b: b}
	for n := r.uint(); n > 0 && !r.bad; n-- {
		if v := r.uint(); !r.bad {
			yield(v)
		}
	}
	return r.end()
}
