package receiver

import (
	"crypto/sha256"
	"os"
	"testing"

	"github.com/xferd/xferd/transfer"
)

func digesting(k transfer.DigestKind, expected ...byte) func(*transfer.Open) {
	return func(m *transfer.Open) { m.Options.Digest, m.Options.Expected = k, expected }
}

func sumOf(k transfer.DigestKind, data []byte) string {
	h := k.New()
	_, _ = h.Write(data)
	return string(h.Sum(nil))
}

// Every regular file that is at the destination in the end has the digest that was
// asked for, however it came there, and nothing else has one.
func TestContentDigests(t *testing.T) {
	for _, kind := range []transfer.DigestKind{transfer.DigestSHA256, transfer.DigestBLAKE3, transfer.DigestXXH3} {
		for _, durability := range []transfer.Durability{transfer.DurabilityFull, transfer.DurabilityNone} {
			t.Run(string(kind)+"/"+string(durability), func(t *testing.T) {
				g := newRig(t)
				list := []source{
					dir(root, ""), regular(0, "large", pattern(2*testChunk+9, 1)), regular(0, "small", pattern(700, 2)), regular(0, "empty", nil),
					regular(0, "same", pattern(70, 3)), regular(0, "meta", pattern(80, 4)), regular(0, "sameempty", nil),
					symlink(0, "link", "small"), hardlink(0, "hard", 2), endDir(0),
				}
				g.write("d/same", list[4].data, testTime)
				g.write("d/meta", list[5].data, testTime-1)
				g.write("d/sameempty", nil, testTime)
				for round, compare := range []transfer.Compare{transfer.CompareChecksum, transfer.CompareSizeMtime, transfer.CompareChecksum} {
					o, fin := g.copyAll(g.request("d", digesting(kind), func(m *transfer.Open) {
						m.Options.Durability, m.Options.Compare = durability, compare
					}), list...)
					if fin.Err != nil {
						t.Fatal(fin.Err)
					}
					for n := range uint64(len(list)) {
						want := ""
						if list[n].Kind == transfer.KindFile {
							want = sumOf(kind, list[n].data)
						}
						if r := o.result(n); r.Content != want || r.Outcome == transfer.OutcomeFailed {
							t.Errorf("round %d, %q: %+v, want content %x", round, list[n].Name, r, want)
						}
					}
				}
				g.wantNoTemps()
			})
		}
	}
}

// A file without the expected digest does not get its name, and what has it already
// is taken for the same only when it has that digest.
func TestExpectedDigest(t *testing.T) {
	data, other := pattern(testChunk+1, 1), pattern(testChunk+1, 2)
	good := sha256.Sum256(data)
	expect := digesting(transfer.DigestSHA256, good[:]...)
	one := func(b []byte) source { return regular(root, "", b) }

	g := newRig(t)
	o, _ := g.copyAll(g.request("f", expect), one(other))
	o.fails(0, transfer.ChecksumMismatch)
	if _, err := os.Lstat(g.path("f")); !os.IsNotExist(err) {
		t.Errorf("it was published: %v", err)
	}
	g.wantNoTemps()

	g.write("f", other, testTime)
	o, fin := g.copyAll(g.request("f", expect), one(data)) // same size and time
	if r := o.want(0, transfer.OutcomePublished); r.Content != string(good[:]) || fin.Err != nil {
		t.Errorf("%+v %v", r, fin.Err)
	}
	g.wantFile("f", data)
	o, _ = g.copyAll(g.request("f", expect), one(data))
	if r := o.want(0, transfer.OutcomeSame); r.Content != string(good[:]) {
		t.Errorf("%+v", r)
	}
	o, _ = g.copyAll(g.request("f", expect), one(pattern(10, 3)))
	o.fails(0, transfer.ChecksumMismatch)
	g.wantFile("f", data)

	// Of a tree nobody would know which file it is of.
	o, _ = g.copyAll(g.request("d", expect), dir(root, ""), endDir(0))
	o.fails(0, transfer.InvalidSpec)
}

func TestImpossibleDigests(t *testing.T) {
	g := newRig(t)
	for _, c := range []func(*transfer.Open){digesting("md5"), digesting("", 1), digesting(transfer.DigestXXH3, make([]byte, 32)...)} {
		if terr := g.refused(g.request("d", c), Peer{Node: "n1"}); terr.Reason != transfer.InvalidSpec {
			t.Error(terr)
		}
	}
}
