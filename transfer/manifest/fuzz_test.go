package manifest

import (
	"bytes"
	"testing"

	"github.com/xferd/xferd/transfer"
)

func FuzzDecodeEntry(f *testing.F) {
	for _, s := range sampleEntries() {
		f.Add(AppendEntry(nil, &s.e))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, rest, err := DecodeEntry(b)
		if err != nil {
			return
		}
		if err := CheckEntry(&e); err != nil {
			t.Fatal(err)
		}
		if again := AppendEntry(nil, &e); !bytes.Equal(again, b[:len(b)-len(rest)]) {
			t.Fatalf("two encodings of %+v", e)
		}
	})
}

func FuzzDecodeResult(f *testing.F) {
	for _, s := range sampleResults() {
		f.Add(AppendResult(nil, &s.r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, rest, err := DecodeResult(b)
		if err != nil {
			return
		}
		if again := AppendResult(nil, &r); !bytes.Equal(again, b[:len(b)-len(rest)]) {
			t.Fatalf("two encodings of %+v", r)
		}
	})
}

func FuzzDecodeError(f *testing.F) {
	for _, s := range sampleResults() {
		if s.r.Err != nil {
			f.Add(AppendError(nil, s.r.Err))
		}
	}
	f.Add(AppendError(nil, &transfer.Error{Reason: transfer.Cancelled}))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, rest, err := DecodeError(b)
		if err != nil {
			return
		}
		if again := AppendError(nil, e); !bytes.Equal(again, b[:len(b)-len(rest)]) {
			t.Fatalf("two encodings of %v", e)
		}
	})
}
