package server

import (
	"crypto/sha256"
	"encoding/binary"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds of pages.
const (
	defaultPage = 100
	maxPage     = 1000

	defaultFilePage = 1000
	maxFilePage     = 5000

	// pageBytes ends a page early; with one more message it stays below
	// MaxMessage.
	pageBytes = 2 << 20
)

// pageSize checks what was asked: 0 is the default, too much is the maximum.
func pageSize(asked int32, normal, most int) (int, error) {
	switch {
	case asked < 0:
		return 0, invalid("page_size", "%d is negative", asked)
	case asked == 0:
		return normal, nil
	}
	return min(int(asked), most), nil
}

// requestHash identifies a request without where in it one is, so that a token
// is refused with another request. The principal is part of it.
func requestHash(m proto.Message, principal string) uint64 {
	m = proto.Clone(m)
	fields := m.ProtoReflect().Descriptor().Fields()
	for _, name := range []protoreflect.Name{"page_size", "page_token"} {
		if f := fields.ByName(name); f != nil {
			m.ProtoReflect().Clear(f)
		}
	}
	h := sha256.New()
	h.Write([]byte(m.ProtoReflect().Descriptor().FullName() + "\x00" + protoreflect.FullName(principal) + "\x00"))
	b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m) // what was received can be sent
	h.Write(b)
	return binary.BigEndian.Uint64(h.Sum(nil))
}
