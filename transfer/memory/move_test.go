package memory_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/xferd/xferd/region"
	"github.com/xferd/xferd/transfer"
)

// Whatever goes into a region lands where it belongs and nowhere else, the
// generation rises once, and nothing stays open or torn.
func TestMove(t *testing.T) {
	const size = 5*mib + 4096
	for _, tt := range []struct {
		name   string
		pieces func(r *rig) []transfer.Piece
		change func(s *transfer.Spec)
	}{
		{name: "a whole region", pieces: func(*rig) []transfer.Piece { return []transfer.Piece{{Path: "@a", Length: -1}} }},
		{name: "ranges on both sides", pieces: func(*rig) []transfer.Piece {
			return []transfer.Piece{{Path: "@a", Offset: 4097, Length: 3*mib + 5, DestOffset: 77}}
		}},
		{name: "one byte", pieces: func(*rig) []transfer.Piece {
			return []transfer.Piece{{Path: "@a", Offset: 5, Length: 1, DestOffset: size - 1}}
		}},
		{name: "a file", pieces: func(r *rig) []transfer.Piece {
			return []transfer.Piece{{Path: r.file("f", pattern(2*mib+3, 9)), Length: -1, DestOffset: 100}}
		}},
		{name: "a file and two regions", pieces: func(r *rig) []transfer.Piece {
			r.create(r.src, "b", pattern(mib, 5))
			return []transfer.Piece{
				{Path: "@a", Offset: 1, Length: 2 * mib, DestOffset: 3 * mib}, {Path: r.file("f", pattern(mib+3, 9)), Offset: 2, Length: mib, DestOffset: mib + 1},
				{Path: "@b", Length: -1, DestOffset: 0},
			}
		}},
		{name: "columns", pieces: func(*rig) []transfer.Piece { return columns(3000, 1000) }},
		{name: "many small pieces", pieces: func(*rig) []transfer.Piece { return columns(40_000, 100) }},
		{name: "without digests", pieces: func(*rig) []transfer.Piece { return columns(50, 100_000) }, change: func(s *transfer.Spec) { s.Verify = transfer.VerifyNone }},
		{name: "read back", pieces: func(*rig) []transfer.Piece { return columns(50, 100_000) }, change: func(s *transfer.Spec) { s.Verify = transfer.VerifyStore }},
		{name: "a digest of it", pieces: func(*rig) []transfer.Piece { return columns(50, 100_000) }, change: func(s *transfer.Spec) { s.Digest = transfer.DigestSHA256 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			a := pattern(size, 1)
			r.create(r.src, "a", a)
			r.create(r.dst, "d", bytes.Repeat([]byte{0xEE}, size))
			s := spec("@d", tt.pieces(r)...)
			if tt.change != nil {
				tt.change(&s)
			}
			want := bytes.Repeat([]byte{0xEE}, size)
			packed, total := content(t, r, &s, want)
			before := r.info(r.dst, "d").Generation

			res, sum, err := r.run(s)
			if err != nil || sum.Failed > 0 || res.Outcome != transfer.OutcomePublished {
				t.Fatalf("%+v, %v", res, err)
			}
			r.look(r.dst, "d", func(mem []byte) {
				if !bytes.Equal(mem, want) {
					t.Errorf("the region differs at %d", difference(mem, want))
				}
			})
			info := r.info(r.dst, "d")
			if info.Generation != before+1 || res.Generation != info.Generation || info.OpenWrites != 0 || len(info.Torn) != 0 {
				t.Errorf("generation %d after %d, the result says %d; %d open writes, torn %v", info.Generation, before, res.Generation, info.OpenWrites, info.Torn)
			}
			if res.Kind != transfer.KindRegion || res.Bytes != total || sum.Progress.BytesDone != total || res.Digest.IsZero() != (s.Verify == transfer.VerifyNone) {
				t.Errorf("result %+v, progress %+v, of %d bytes", res, sum.Progress, total)
			}
			if want := sha256.Sum256(packed); s.Digest != "" && res.Content != string(want[:]) {
				t.Errorf("the digest is %x, not %x", res.Content, want)
			}
			if len(r.target.Incoming()) != 0 {
				t.Errorf("still coming in: %v", r.target.Incoming())
			}
		})
	}
}

// columns are pieces of @a in another order, with gaps on both sides.
func columns(n int, length int64) []transfer.Piece {
	rng := rand.New(rand.NewPCG(1, 2))
	pieces := make([]transfer.Piece, n)
	for i, k := range rng.Perm(n) {
		pieces[i] = transfer.Piece{Path: "@a", Offset: int64(i) * (length + 3), Length: length, DestOffset: 1 + int64(k)*(length+5)}
	}
	return pieces
}

// content puts what the pieces are of where they belong, and returns the bytes in
// the order of their places.
func content(t *testing.T, r *rig, s *transfer.Spec, want []byte) (packed []byte, total int64) {
	t.Helper()
	memory := map[string][]byte{}
	bytesOf := func(path string) []byte {
		if b, ok := memory[path]; ok {
			return b
		}
		if id, ok := transfer.RegionOf(path); ok {
			r.look(r.src, id, func(mem []byte) { memory[path] = bytes.Clone(mem) })
		} else {
			memory[path] = readFile(t, path)
		}
		return memory[path]
	}
	mask := make([]bool, len(want))
	for _, p := range s.Pieces {
		b := bytesOf(p.Path)[p.Offset:]
		if p.Length >= 0 {
			b = b[:p.Length]
		}
		copy(want[p.DestOffset:], b)
		for i := range b {
			mask[int(p.DestOffset)+i] = true
		}
		total += int64(len(b))
	}
	for i, m := range mask {
		if m {
			packed = append(packed, want[i])
		}
	}
	return packed, total
}

func difference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// A digest that was expected and is not that of the bytes fails the transfer: the
// ranges are torn, and the generation stays.
func TestExpectedDigest(t *testing.T) {
	r := newRig(t)
	r.create(r.src, "a", pattern(mib, 1))
	r.create(r.dst, "d", make([]byte, mib))
	s := spec("@d", transfer.Piece{Path: "@a", Length: -1})
	s.Digest = transfer.DigestSHA256
	s.Expected, _ = hex.DecodeString("00000000000000000000000000000000000000000000000000000000000000ff")
	res, sum, err := r.run(s)
	if err != nil || res.Outcome != transfer.OutcomeFailed || res.Err.Reason != transfer.ChecksumMismatch || sum.Failed != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	if info := r.info(r.dst, "d"); len(info.Torn) != 1 || info.Torn[0] != (region.Range{Length: mib}) || info.OpenWrites != 0 {
		t.Errorf("%+v", info)
	}
	// The same again, with the digest that it has: whole.
	sum256 := sha256.Sum256(pattern(mib, 1))
	s.Expected = sum256[:]
	if res, _, err = r.run(s); err != nil || res.Outcome != transfer.OutcomePublished {
		t.Fatalf("%+v, %v", res, err)
	}
	if info := r.info(r.dst, "d"); len(info.Torn) != 0 || info.Generation != res.Generation {
		t.Errorf("%+v", info)
	}
}

// Where nothing is to be written, nothing happens.
func TestNothingToWrite(t *testing.T) {
	r := newRig(t)
	r.create(r.dst, "d", make([]byte, 4096))
	before := r.info(r.dst, "d").Generation
	res, _, err := r.run(spec("@d", transfer.Piece{Path: r.file("empty", nil), Length: -1}))
	if err != nil || res.Outcome != transfer.OutcomeSame || r.info(r.dst, "d").Generation != before {
		t.Errorf("%+v, %v, generation %d after %d", res, err, r.info(r.dst, "d").Generation, before)
	}
}

// A dry run says what it would write and writes nothing.
func TestDryRun(t *testing.T) {
	r := newRig(t)
	r.create(r.src, "a", pattern(mib, 1))
	r.create(r.dst, "d", make([]byte, mib))
	s := spec("@d", transfer.Piece{Path: "@a", Length: -1})
	s.DryRun = true
	before := r.info(r.dst, "d")
	res, _, err := r.run(s)
	after := r.info(r.dst, "d")
	if err != nil || res.Outcome != transfer.OutcomePublished || res.Bytes != mib || res.Generation != 0 || after.Generation != before.Generation || len(after.Torn) != 0 {
		t.Errorf("%+v, %v, %+v", res, err, after)
	}
	r.look(r.dst, "d", func(mem []byte) {
		if !bytes.Equal(mem, make([]byte, mib)) {
			t.Error("bytes were written")
		}
	})
}
