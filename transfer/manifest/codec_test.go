package manifest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/xferd/xferd/transfer"
)

var update = flag.Bool("update", false, "write testdata/codec.golden anew: a new version of protocol and state")

// TestGolden holds the encoding still: peers of other versions and old state
// have these bytes.
func TestGolden(t *testing.T) {
	const path = "testdata/codec.golden"
	var got strings.Builder
	for _, s := range sampleEntries() {
		fmt.Fprintf(&got, "entry %s %s\n", s.name, hex.EncodeToString(AppendEntry(nil, &s.e)))
	}
	for _, s := range sampleResults() {
		fmt.Fprintf(&got, "result %s %s\n", s.name, hex.EncodeToString(AppendResult(nil, &s.r)))
	}
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the encoding changed; got\n%swant\n%s", got.String(), want)
	}
}

func TestEntryRoundTrip(t *testing.T) {
	for _, s := range sampleEntries() {
		t.Run(s.name, func(t *testing.T) {
			b := AppendEntry([]byte("before"), &s.e)[len("before"):]
			got, rest, err := DecodeEntry(append(b, "rest"...))
			if err != nil || string(rest) != "rest" || !reflect.DeepEqual(got, s.e) {
				t.Fatalf("got %+v, rest %q, error %v", got, rest, err)
			}
			for n := range b {
				if _, _, err := DecodeEntry(b[:n]); !errors.Is(err, ErrMalformed) {
					t.Fatalf("cut at %d: %v", n, err)
				}
			}
		})
	}
}

func TestResultRoundTrip(t *testing.T) {
	for _, s := range sampleResults() {
		t.Run(s.name, func(t *testing.T) {
			b := AppendResult(nil, &s.r)
			got, rest, err := DecodeResult(append(b, "rest"...))
			if err != nil || string(rest) != "rest" {
				t.Fatalf("rest %q, error %v", rest, err)
			}
			if (got.Err == nil) != (s.r.Err == nil) || got.Err != nil && got.Err.Error() != s.r.Err.Error() {
				t.Fatalf("error %v", got.Err)
			}
			if again := AppendResult(nil, &got); !bytes.Equal(again, b) {
				t.Fatalf("encoded again: %x, want %x", again, b)
			}
			for n := range b {
				if _, _, err := DecodeResult(b[:n]); !errors.Is(err, ErrMalformed) {
					t.Fatalf("cut at %d: %v", n, err)
				}
			}
		})
	}
}

func TestLongTextsAreCut(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	r := transfer.Result{Outcome: transfer.OutcomeFailed, Err: &transfer.Error{Reason: transfer.Internal, Err: errors.New(long), Hint: long}}
	got, _, err := DecodeResult(AppendResult(nil, &r))
	if err != nil || len(got.Err.Err.Error()) != maxText || len(got.Err.Hint) != maxText {
		t.Fatalf("got %v", err)
	}
}

func TestCheckName(t *testing.T) {
	for name, want := range map[string]error{
		"a": nil, "...": nil, ".x": nil, "\xff\xfe": nil, "a\nb": nil, ".xferd": nil, "x.xferd.": nil, strings.Repeat("n", 255): nil,
		"": ErrName, ".": ErrName, "..": ErrName, "a/b": ErrName, "/": ErrName, "a\x00": ErrName, strings.Repeat("n", 256): ErrName,
		".xferd.": ErrReserved, ".xferd.0123.1.abc": ErrReserved,
	} {
		if err := CheckName(name); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
	}
}

func TestBadEntries(t *testing.T) {
	file := transfer.Entry{Number: 5, Parent: 1, Name: "f", Kind: transfer.KindFile}
	for name, c := range map[string]struct {
		edit func(e *transfer.Entry)
		want error
	}{
		"good":               {func(e *transfer.Entry) {}, nil},
		"no kind":            {func(e *transfer.Entry) { e.Kind = 0 }, ErrEntry},
		"kind 10":            {func(e *transfer.Entry) { e.Kind = 10 }, ErrEntry},
		"own parent":         {func(e *transfer.Entry) { e.Parent = 5 }, ErrEntry},
		"later parent":       {func(e *transfer.Entry) { e.Parent = 6 }, ErrEntry},
		"root":               {func(e *transfer.Entry) { e.Parent, e.Name = transfer.NoParent, "" }, nil},
		"empty name":         {func(e *transfer.Entry) { e.Name = "" }, ErrName},
		"two components":     {func(e *transfer.Entry) { e.Name = "a/b" }, ErrName},
		"root, up":           {func(e *transfer.Entry) { e.Parent, e.Name = transfer.NoParent, ".." }, ErrName},
		"reserved":           {func(e *transfer.Entry) { e.Name = ".xferd.x" }, ErrReserved},
		"negative size":      {func(e *transfer.Entry) { e.Size = -1 }, ErrEntry},
		"absurd size":        {func(e *transfer.Entry) { e.Size = MaxSize + 1 }, ErrEntry},
		"absurd print":       {func(e *transfer.Entry) { e.Print.Size = -1 }, ErrEntry},
		"perm":               {func(e *transfer.Entry) { e.Meta.Perm = 0o10000 }, ErrEntry},
		"flags":              {func(e *transfer.Entry) { e.Flags = 4 }, ErrEntry},
		"failed file":        {func(e *transfer.Entry) { e.Flags = transfer.EntryFailed }, ErrEntry},
		"sparse dir":         {func(e *transfer.Entry) { e.Kind, e.Flags = transfer.KindDir, transfer.EntrySparse }, ErrEntry},
		"symlink to nothing": {func(e *transfer.Entry) { e.Kind = transfer.KindSymlink }, ErrEntry},
		"symlink with NUL":   {func(e *transfer.Entry) { e.Kind, e.Link = transfer.KindSymlink, "a\x00" }, ErrEntry},
		"longest symlink":    {func(e *transfer.Entry) { e.Kind, e.Link = transfer.KindSymlink, strings.Repeat("l", 4095) }, nil},
		"file with link":     {func(e *transfer.Entry) { e.Link = "x" }, ErrEntry},
		"hardlink to later":  {func(e *transfer.Entry) { e.Kind, e.LinkTo = transfer.KindHardlink, 6 }, ErrEntry},
		"hardlink to itself": {func(e *transfer.Entry) { e.Kind, e.LinkTo = transfer.KindHardlink, 5 }, ErrEntry},
		"file with rdev":     {func(e *transfer.Entry) { e.Meta.Rdev = 1 }, ErrEntry},
		"end without parent": {func(e *transfer.Entry) {
			*e = transfer.Entry{Number: 5, Parent: transfer.NoParent, Kind: transfer.KindEndDir}
		}, ErrEntry},
		"region": {func(e *transfer.Entry) {
			*e = transfer.Entry{Number: 5, Parent: transfer.NoParent, Kind: transfer.KindRegion, Size: 9}
		}, nil},
		"region, name": {func(e *transfer.Entry) {
			*e = transfer.Entry{Number: 5, Parent: 1, Kind: transfer.KindRegion, Name: "n"}
		}, ErrEntry},
		"region, meta": {func(e *transfer.Entry) {
			*e = transfer.Entry{Number: 5, Parent: transfer.NoParent, Kind: transfer.KindRegion, Meta: transfer.Meta{Perm: 1}}
		}, ErrEntry},
		"region, holes": {func(e *transfer.Entry) {
			*e = transfer.Entry{Number: 5, Parent: transfer.NoParent, Kind: transfer.KindRegion, Flags: transfer.EntrySparse}
		}, ErrEntry},
		"end with name": {func(e *transfer.Entry) { e.Kind = transfer.KindEndDir }, ErrEntry},
		"end with meta": {func(e *transfer.Entry) { e.Kind, e.Name, e.Meta.UID = transfer.KindEndDir, "", 1 }, ErrEntry},
		"trusted xattr": {func(e *transfer.Entry) { e.Meta.Xattrs = []transfer.Xattr{{Name: "trusted.x"}} }, ErrEntry},
		"label":         {func(e *transfer.Entry) { e.Meta.Xattrs = []transfer.Xattr{{Name: "security.selinux"}} }, ErrEntry},
		"bare user.":    {func(e *transfer.Entry) { e.Meta.Xattrs = []transfer.Xattr{{Name: "user."}} }, ErrEntry},
		"64 KiB of xattrs": {func(e *transfer.Entry) {
			e.Meta.Xattrs = []transfer.Xattr{{Name: "user.a", Value: make([]byte, MaxXattrBytes-6)}}
		}, nil},
		"more than that": {func(e *transfer.Entry) {
			e.Meta.Xattrs = []transfer.Xattr{{Name: "user.a", Value: make([]byte, MaxXattrBytes-5)}}
		}, ErrEntry},
		"too many xattrs":  {func(e *transfer.Entry) { e.Meta.Xattrs = make([]transfer.Xattr, MaxXattrs+1) }, ErrEntry},
		"same xattr twice": {func(e *transfer.Entry) { e.Meta.Xattrs = []transfer.Xattr{{Name: "user.a"}, {Name: "user.a"}} }, ErrEntry},
	} {
		e := file
		c.edit(&e)
		if err := CheckEntry(&e); !errors.Is(err, c.want) {
			t.Errorf("%s: check says %v, want %v", name, err, c.want)
		}
		_, _, err := DecodeEntry(AppendEntry(nil, &e))
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: decoding says %v", name, err)
		}
	}
}

func TestBadResults(t *testing.T) {
	bad := &transfer.Error{Reason: transfer.Internal}
	for name, r := range map[string]transfer.Result{
		"no outcome":         {},
		"outcome 6":          {Outcome: 6},
		"kind":               {Outcome: transfer.OutcomeSame, Kind: transfer.KindRegion + 1},
		"generation":         {Outcome: transfer.OutcomeSame, Kind: transfer.KindFile, Generation: 1},
		"change":             {Outcome: transfer.OutcomeSame, Change: transfer.ChangeDelete << 1},
		"lost":               {Outcome: transfer.OutcomeSame, Lost: transfer.PreserveSpecials << 1},
		"bytes":              {Outcome: transfer.OutcomeSame, Bytes: -1},
		"failed without why": {Outcome: transfer.OutcomeFailed},
		"same with error":    {Outcome: transfer.OutcomeSame, Err: bad},
		"error without name": {Outcome: transfer.OutcomeFailed, Err: &transfer.Error{}},
		"error of odd name":  {Outcome: transfer.OutcomeFailed, Err: &transfer.Error{Reason: "no space"}},
		"path":               {Outcome: transfer.OutcomeSame, Path: strings.Repeat("p", MaxPath+1)},
	} {
		if err := CheckResult(&r); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: check says %v", name, err)
		}
		if _, _, err := DecodeResult(AppendResult(nil, &r)); err == nil {
			t.Errorf("%s: decoded", name)
		}
	}
}

// Numbers in a longer form than needed, and parts that are there but empty,
// are refused: one value has one encoding.
func TestOneEncoding(t *testing.T) {
	good := AppendEntry(nil, &transfer.Entry{Number: 1, Name: "f", Kind: transfer.KindFile})
	for name, b := range map[string][]byte{
		"long number": append([]byte{0x81, 0x00}, good[1:]...),
		"empty meta":  append(append([]byte(nil), good[:len(good)-1]...), hasMeta, 0, 0, 0, 0),
		"empty size":  append(append([]byte(nil), good[:len(good)-1]...), hasSize, 0),
		"empty rdev":  append(append([]byte(nil), good[:len(good)-1]...), hasRdev, 0),
		"no xattrs":   append(append([]byte(nil), good[:len(good)-1]...), hasXattrs, 0),
		"many xattrs": append(append([]byte(nil), good[:len(good)-1]...), hasXattrs, 0xff, 0x07),
		"empty print": append(append([]byte(nil), good[:len(good)-1]...), hasPrint, 0, 0, 0, 0, 0),
		"empty link":  append(append([]byte(nil), good[:len(good)-1]...), hasLink, 0),
		"link number": append(append([]byte(nil), good[:len(good)-1]...), hasLinkTo, 0),
		"new part":    append(append([]byte(nil), good[:len(good)-1]...), 0x80),
	} {
		if e, _, err := DecodeEntry(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v %+v", name, err, e)
		}
	}
}

func TestEntryModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEntry(t, rapid.Uint64Range(1, 1<<63).Draw(t, "number"))
		if err := CheckEntry(&e); err != nil {
			t.Fatal(err)
		}
		got, rest, err := DecodeEntry(AppendEntry(nil, &e))
		if err != nil || len(rest) != 0 || !reflect.DeepEqual(got, e) {
			t.Fatalf("got %+v, want %+v, %v", got, e, err)
		}
	})
}

// drawEntry returns any good entry of that number.
func drawEntry(t *rapid.T, number uint64) transfer.Entry {
	e := transfer.Entry{Number: number, Kind: transfer.Kind(rapid.IntRange(1, 10).Draw(t, "kind"))}
	e.Parent = rapid.Uint64Range(0, number-1).Draw(t, "parent")
	if e.Kind == transfer.KindEndDir {
		return e
	}
	if e.Kind == transfer.KindRegion {
		e.Parent, e.Size = transfer.NoParent, rapid.Int64Range(0, MaxSize).Draw(t, "size")
		return e
	}
	e.Name = string(rapid.SliceOfN(rapid.ByteRange('A', 255), 1, 255).Draw(t, "name"))
	e.Meta = transfer.Meta{Perm: rapid.Uint32Range(0, 0o7777).Draw(t, "perm"), UID: rapid.Uint32().Draw(t, "uid"),
		GID: rapid.Uint32().Draw(t, "gid"), Mtime: rapid.Int64().Draw(t, "mtime")}
	for i := range rapid.IntRange(0, 4).Draw(t, "xattrs") {
		x := transfer.Xattr{Name: fmt.Sprintf("user.%d", i)}
		if v := rapid.SliceOf(rapid.Byte()).Draw(t, "value"); len(v) > 0 {
			x.Value = v
		}
		e.Meta.Xattrs = append(e.Meta.Xattrs, x)
	}
	switch e.Kind {
	case transfer.KindFile:
		e.Size = rapid.Int64Range(0, MaxSize).Draw(t, "size")
		e.Print = transfer.Fingerprint{Dev: rapid.Uint64().Draw(t, "dev"), Ino: rapid.Uint64().Draw(t, "ino"), Size: e.Size,
			Mtime: e.Meta.Mtime, Ctime: rapid.Int64().Draw(t, "ctime")}
		if rapid.Bool().Draw(t, "sparse") {
			e.Flags = transfer.EntrySparse
		}
	case transfer.KindSymlink:
		e.Link = string(rapid.SliceOfN(rapid.ByteRange(1, 255), 1, 4095).Draw(t, "link"))
	case transfer.KindHardlink:
		e.LinkTo = rapid.Uint64Range(0, number-1).Draw(t, "to")
	case transfer.KindCharDevice, transfer.KindBlockDevice:
		e.Meta.Rdev = rapid.Uint64().Draw(t, "rdev")
	}
	return e
}
