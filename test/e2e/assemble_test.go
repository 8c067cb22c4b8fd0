package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// Other ranges of the same files, of the same length and to the same place, are
// another version of the assembled file: neither is it found to be there
// already, nor is what a cancelled run left of the first one taken for it.
func TestP1AnotherAssemblyIsAnotherVersion(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	tree := newTree(t, dirs[0])
	const half = 16 << 20
	content := append(bytes.Repeat([]byte("A"), half), bytes.Repeat([]byte("B"), half)...)
	src := tree.file("halves", 0)
	if err := os.WriteFile(src, content, 0o644); err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(dirs[1], "assembled")
	api := c.dial(t)
	spec := func(first int64, rate *int64) *xferv1.TransferSpec {
		return &xferv1.TransferSpec{
			Mode: xferv1.Mode_MODE_ASSEMBLE, SourceNode: "n1", TargetNode: "n2", MaxBytesPerSecond: rate,
			Pieces: &xferv1.Pieces{
				Paths: [][]byte{[]byte(src)}, PathIndex: []uint32{0, 0}, Offset: []int64{first, half},
				Length: []int64{half, half}, DestOffset: []int64{0, half},
			},
			Destination: &xferv1.Destination{Destination: &xferv1.Destination_Path{Path: []byte(dst)}},
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// A run that is cancelled when something of it landed leaves a partial.
	slow, err := api.Submit(ctx, "", spec(0, new(int64(20<<20))))
	if err != nil {
		t.Fatal(err)
	}
	for {
		tr, err := api.Get(ctx, slow.GetName())
		if err != nil {
			t.Fatal(err)
		}
		if tr.GetCounters().GetBytesDone() > 8<<20 || client.Over(tr) {
			break
		}
		time.Sleep(10 * time.Millisecond) // the next look; the loop ends by ctx
	}
	if _, err := api.Cancel(ctx, slow.GetName(), false); err != nil && client.ReasonOf(err) != "ALREADY_FINISHED" {
		t.Fatal(err)
	}
	if _, err := api.Wait(ctx, slow.GetName()); err != nil {
		t.Fatal(err)
	}

	for _, v := range []struct {
		first int64
		want  []byte
	}{
		{half, append(bytes.Repeat([]byte("B"), half), bytes.Repeat([]byte("B"), half)...)},
		{0, content},
	} {
		s, err := api.Submit(ctx, "", spec(v.first, nil))
		if err != nil {
			t.Fatal(err)
		}
		tr, err := api.Wait(ctx, s.GetName())
		if err == nil {
			err = client.TransferError(tr)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(dst); err != nil || !bytes.Equal(got, v.want) {
			t.Errorf("with the first piece from %d the file is not what was asked for (%d bytes, %v)", v.first, len(got), err)
		}
	}
}

// A merge has partitions without a record: empty pieces go nowhere, between
// nodes and within one, and of nothing else an empty file is made.
func TestEmptyPieces(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	tree := newTree(t, dirs[0])
	src := tree.file("parts", 0)
	if err := os.WriteFile(src, []byte("abcdef"), 0o644); err != nil {
		t.Fatal(err)
	}
	api := c.dial(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, v := range []struct {
		name    string
		lengths [3]int64
		want    string
	}{{"some", [3]int64{3, 0, 3}, "abcdef"}, {"all", [3]int64{0, 0, 0}, ""}} {
		for i, node := range []string{"n2", "n1"} {
			dst := filepath.Join(dirs[1-i], "merged-"+v.name)
			s, err := api.Submit(ctx, "", &xferv1.TransferSpec{
				Mode: xferv1.Mode_MODE_ASSEMBLE, SourceNode: "n1", TargetNode: node,
				Pieces: &xferv1.Pieces{
					Paths: [][]byte{[]byte(src)}, PathIndex: []uint32{0, 0, 0}, Offset: []int64{0, 3, 3},
					Length: v.lengths[:], DestOffset: []int64{0, 3, 3},
				},
				Destination: &xferv1.Destination{Destination: &xferv1.Destination_Path{Path: []byte(dst)}},
			})
			if err != nil {
				t.Fatal(err)
			}
			tr, err := api.Wait(ctx, s.GetName())
			if err == nil {
				err = client.TransferError(tr)
			}
			if err != nil {
				t.Fatalf("%s to %s: %v", v.name, node, err)
			}
			if got, err := os.ReadFile(dst); err != nil || string(got) != v.want {
				t.Errorf("%s to %s: %q, %v", v.name, node, got, err)
			}
		}
	}
}
