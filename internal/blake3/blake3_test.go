package blake3

import (
	"encoding/hex"
	"testing"
)

// counting is the input of the published vectors: bytes that count to 250.
func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func TestVectors(t *testing.T) {
	for n, want := range map[int]string{
		0:    "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
		1:    "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
		1024: "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
		1025: "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
		2048: "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a",
		2049: "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030",
		3072: "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2",
	} {
		h := New()
		_, _ = h.Write(counting(n))
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

// It does not matter in what pieces the bytes come, nor who looks meanwhile.
func TestPieces(t *testing.T) {
	all := counting(70_001)
	whole := New()
	_, _ = whole.Write(all)
	want := string(whole.Sum(nil))
	for _, step := range []int{1, 63, 64, 65, 1023, 1024, 1025, 4096, 70_000} {
		h := New()
		for rest := all; len(rest) > 0; rest = rest[min(step, len(rest)):] {
			_, _ = h.Write(rest[:min(step, len(rest))])
			_ = h.Sum(nil)
		}
		if string(h.Sum(nil)) != want {
			t.Errorf("pieces of %d bytes give another digest", step)
		}
		h.Reset()
		_, _ = h.Write(all)
		if got := h.Sum([]byte("x")); string(got) != "x"+want || h.Size() != Size || h.BlockSize() != BlockSize {
			t.Error("a digest that was begun again is another one")
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	buf := counting(1 << 20)
	h := New()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		_, _ = h.Write(buf)
	}
}
