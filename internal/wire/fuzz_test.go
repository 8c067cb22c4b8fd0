package wire

import (
	"bytes"
	"testing"
)

// What a decoder takes, its encoder writes the same again, so there is one form
// of everything. The exception is a chunk whose only segment is the extent: it
// has a shorter form, which then is stable.

func FuzzChunk(f *testing.F) {
	f.Add(unchecked(sample()))
	frame, _ := AppendChunk(nil, sample())
	f.Add(frame[PrefixSize:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again Chunk
		if DecodeChunk(b, &c) != nil {
			return
		}
		frame, err := AppendChunk(nil, &c)
		if err != nil {
			t.Fatalf("decoded and cannot be encoded: %v", err)
		}
		p := payloadOf(t, frame, TypeChunk)
		if err := DecodeChunk(p, &again); err != nil {
			t.Fatal(err)
		}
		if c.DataLength() != again.DataLength() || len(c.Extents) != len(again.Extents) {
			t.Fatal("another chunk after encoding")
		}
		if second, _ := AppendChunk(nil, &again); !bytes.Equal(second, frame) {
			t.Fatal("encoding is not stable")
		}
	})
}

func FuzzPrefix(f *testing.F) {
	f.Add(AppendEnd(nil, 1))
	f.Add(AppendRaw(nil, 99, []byte("ab")))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePrefix(b)
		if err != nil {
			return
		}
		if limit, known := p.Type.limit(); !known || p.Length < 0 || p.Length > limit {
			t.Fatalf("%+v", p)
		}
		_ = p.Check(b[PrefixSize:])
	})
}

func FuzzAck(f *testing.F) {
	f.Add(AppendAck(nil, 8, []Answer{{Code: 1}, {Code: 5, Text: "no"}})[PrefixSize:])
	f.Fuzz(func(t *testing.T, b []byte) {
		seq, answers, err := DecodeAck(b, nil)
		if err != nil {
			return
		}
		if again := AppendAck(nil, seq, answers)[PrefixSize:]; !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func FuzzTrailer(f *testing.F) {
	f.Add(AppendTrailer(nil, 3, make([]Seal, 2))[PrefixSize:], uint64(3), 2)
	f.Fuzz(func(t *testing.T, b []byte, seq uint64, n int) {
		if n < 0 || n > MaxExtents {
			return
		}
		seals := make([]Seal, n)
		if DecodeTrailer(b, seq, seals) != nil {
			return
		}
		if again := AppendTrailer(nil, seq, seals)[PrefixSize:]; !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add(AppendHello(nil, &Hello{Major: Major, Epoch: 1}))
	f.Add(AppendReply(nil, &Reply{Major: Major}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := DecodeHello(b); err == nil && len(b) != HelloSize {
			t.Fatalf("%+v", h)
		}
		if r, err := DecodeReply(b); err == nil && len(b) != ReplySize {
			t.Fatalf("%+v", r)
		}
	})
}

func FuzzFail(f *testing.F) {
	f.Add(AppendFail(nil, "text")[PrefixSize:])
	f.Add(AppendEnd(nil, 1)[PrefixSize:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if text, err := DecodeFail(b); err == nil && len(text) <= MaxText {
			if again := AppendFail(nil, text)[PrefixSize:]; !bytes.Equal(again, b) {
				t.Fatalf("%x became %x", b, again)
			}
		}
		if n, err := DecodeEnd(b); err == nil {
			if again := AppendEnd(nil, n)[PrefixSize:]; !bytes.Equal(again, b) {
				t.Fatalf("%x became %x", b, again)
			}
		}
	})
}
