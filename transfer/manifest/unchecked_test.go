package manifest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xferd/xferd/transfer"
)

// A bad entry that is well framed does not hide the one after it.
func TestDecodeUnchecked(t *testing.T) {
	good := transfer.Entry{Number: 9, Name: "good", Kind: transfer.KindFile, Size: 3}
	bad := map[string]transfer.Entry{
		"reserved name":   {Number: 8, Name: ReservedPrefix + "x", Kind: transfer.KindFile},
		"slash":           {Number: 8, Name: "a/b", Kind: transfer.KindFile},
		"dots":            {Number: 8, Name: "..", Kind: transfer.KindDir},
		"unknown kind":    {Number: 8, Name: "k", Kind: 99},
		"bad permissions": {Number: 8, Name: "p", Kind: transfer.KindFile, Meta: transfer.Meta{Perm: 1 << 20}},
		"xattr of root":   {Number: 8, Name: "x", Kind: transfer.KindFile, Meta: transfer.Meta{Xattrs: []transfer.Xattr{{Name: "security.selinux", Value: []byte("v")}}}},
		"parent after":    {Number: 8, Parent: 8, Name: "x", Kind: transfer.KindFile},
	}
	for name, e := range bad {
		t.Run(name, func(t *testing.T) {
			b := AppendEntry(AppendEntry(nil, &e), &good)
			if _, _, err := DecodeEntry(b); err == nil || errors.Is(err, ErrMalformed) {
				t.Fatalf("DecodeEntry: %v", err)
			}
			got, rest, err := DecodeUnchecked(b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(e, got); d != "" {
				t.Error(d)
			}
			if next, rest, err := DecodeEntry(rest); err != nil || len(rest) != 0 || cmp.Diff(good, next) != "" {
				t.Errorf("the entry after it: %+v, %d bytes left, %v", next, len(rest), err)
			}
		})
	}
	if _, _, err := DecodeUnchecked(AppendEntry(nil, &good)[:4]); !errors.Is(err, ErrMalformed) {
		t.Errorf("an entry that ends early: %v", err)
	}
}

func FuzzDecodeUnchecked(f *testing.F) {
	for _, s := range sampleEntries() {
		f.Add(AppendEntry(nil, &s.e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, rest, err := DecodeUnchecked(b)
		if err != nil {
			return
		}
		if again := AppendEntry(nil, &e); !bytes.Equal(again, b[:len(b)-len(rest)]) {
			t.Fatalf("two encodings of %+v", e)
		}
	})
}
