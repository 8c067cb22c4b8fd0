package transfer

import (
	"testing"

	"github.com/xferd/xferd/transport"
)

func TestFileDigest(t *testing.T) {
	a, b := transport.Digest{1}, transport.Digest{2}
	whole := FileDigest(4<<20, 5<<20, []transport.Digest{a, b})
	if whole.IsZero() {
		t.Fatal("no digest")
	}
	for name, other := range map[string]transport.Digest{
		"order":      FileDigest(4<<20, 5<<20, []transport.Digest{b, a}),
		"size":       FileDigest(4<<20, 6<<20, []transport.Digest{a, b}),
		"chunk size": FileDigest(8<<20, 5<<20, []transport.Digest{a, b}),
		"extent":     FileDigest(4<<20, 5<<20, []transport.Digest{a}),
		"none":       FileDigest(4<<20, 5<<20, []transport.Digest{a, {}}),
	} {
		if other == whole {
			t.Errorf("%s does not change the digest", name)
		}
	}
	if FileDigest(4<<20, 0, nil).IsZero() {
		t.Error("an empty file has no digest")
	}
}
