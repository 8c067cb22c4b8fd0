package transfer

import (
	"encoding/hex"
	"testing"
)

// The digests are those that everybody else computes.
func TestDigestKinds(t *testing.T) {
	for _, c := range []struct {
		kind       DigestKind
		text, want string
	}{
		{DigestSHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{DigestSHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{DigestBLAKE3, "", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
		{DigestBLAKE3, "abc", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"},
		{DigestXXH3, "", "99aa06d3014798d86001c324468d497f"},
	} {
		h := c.kind.New()
		_, _ = h.Write([]byte(c.text))
		if got := hex.EncodeToString(h.Sum(nil)); got != c.want || h.Size() != c.kind.Size() || 2*h.Size() != len(got) {
			t.Errorf("%s of %q: %s, want %s", c.kind, c.text, got, c.want)
		}
	}
	for _, k := range []DigestKind{"", "md5"} {
		if k.New() != nil || k.Size() != 0 {
			t.Errorf("%q is a digest", k)
		}
	}
}
