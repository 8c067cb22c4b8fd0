package proxy

import "github.com/xferd/xferd/internal/wire"

// Place is what a byte of the data plane is.
type Place uint8

const (
	Any     Place = iota // not known
	Hello                // but for its token
	Token                // of the hello
	Length               // of a frame
	Header               // the rest of a frame's prefix
	Chunk                // the payload of a Chunk frame, which says what follows
	Payload              // bytes of files
	Trailer              // a Trailer frame's payload, which has the digests
	Frame                // the payload of another frame
	Answer               // everything back
)

// where the token is in a hello.
const (
	tokenAt  = 48
	tokenEnd = 80
	uidAt    = 16
)

// finder tells which byte is what. It follows what is sent, whatever is done to it.
type finder struct {
	data, back bool
	uid        [16]byte
	chunks     int // that began

	hello  []byte // what came of it
	prefix []byte
	frame  []byte // what came of the payload of a Chunk frame
	kind   wire.Type
	left   int   // of the frame's payload
	body   int64 // bytes of files that follow
	lost   bool
}

// next returns what the first bytes of b are, and how many of them.
func (f *finder) next(b []byte) (Place, int) {
	switch {
	case !f.data || f.lost:
		return Any, len(b)
	case f.back:
		return Answer, len(b)
	case len(f.hello) < wire.HelloSize:
		return f.inHello(b)
	case f.left > 0:
		return f.inFrame(b)
	case f.body > 0:
		n := int(min(f.body, int64(len(b))))
		f.body -= int64(n)
		return Payload, n
	}
	return f.inPrefix(b)
}

// upTo is how many bytes of b come before a place, of which have are there.
func upTo(b []byte, have int, ends ...int) int {
	for _, end := range ends {
		if have < end {
			return min(len(b), end-have)
		}
	}
	return len(b)
}

func (f *finder) inHello(b []byte) (Place, int) {
	have := len(f.hello)
	n := upTo(b, have, tokenAt, tokenEnd, wire.HelloSize)
	f.hello = append(f.hello, b[:n]...)
	if len(f.hello) == wire.HelloSize {
		copy(f.uid[:], f.hello[uidAt:])
	}
	if have >= tokenAt && have < tokenEnd {
		return Token, n
	}
	return Hello, n
}

func (f *finder) inPrefix(b []byte) (Place, int) {
	have := len(f.prefix)
	n := upTo(b, have, 4, wire.PrefixSize)
	f.prefix = append(f.prefix, b[:n]...)
	if len(f.prefix) == wire.PrefixSize {
		p, err := wire.DecodePrefix(f.prefix)
		f.lost = err != nil
		f.kind, f.left, f.prefix = p.Type, p.Length, f.prefix[:0]
		f.frame = f.frame[:0]
		if f.kind == wire.TypeChunk {
			f.chunks++
		}
	}
	if have < 4 {
		return Length, n
	}
	return Header, n
}

func (f *finder) inFrame(b []byte) (Place, int) {
	n := min(len(b), f.left)
	f.left -= n
	switch f.kind {
	case wire.TypeTrailer:
		return Trailer, n
	case wire.TypeChunk:
		f.frame = append(f.frame, b[:n]...)
		if f.left == 0 {
			var c wire.Chunk
			f.lost = wire.DecodeChunk(f.frame, &c) != nil
			f.body = c.DataLength()
		}
		return Chunk, n
	}
	return Frame, n
}
