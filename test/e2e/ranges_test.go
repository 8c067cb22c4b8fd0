package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// One submit makes a file of ranges of many files, as the merge of a shuffle
// does: between nodes, and inside one in the kernel.
func TestRangesOfManyFilesBecomeOne(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	tree := newTree(t, dirs[0])
	const files, parts, part = 8, 64, 37_123
	pieces := &xferv1.Pieces{}
	var contents [][]byte
	for i := range files {
		name := tree.file(filepath.Join("runs", string(rune('a'+i))), parts*part)
		pieces.Paths = append(pieces.Paths, []byte(name))
		contents = append(contents, must(os.ReadFile(name))(t))
	}
	// Part by part, over all files: as a reader of one partition wants it.
	var want []byte
	for p := range parts {
		for i := range files {
			pieces.PathIndex = append(pieces.PathIndex, uint32(i))
			pieces.Offset = append(pieces.Offset, int64(p*part))
			pieces.Length = append(pieces.Length, part)
			pieces.DestOffset = append(pieces.DestOffset, int64(len(want)))
			want = append(want, contents[i][p*part:(p+1)*part]...)
		}
	}
	for _, test := range []struct {
		name, target, dst string
		transport         string
	}{
		{"BetweenNodes", "n2", filepath.Join(dirs[1], "merged"), "tcp"},
		{"InsideOne", "n1", filepath.Join(dirs[0], "merged"), "local"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := context.Background()
			api := c.dial(t)
			spec := &xferv1.TransferSpec{
				Mode: xferv1.Mode_MODE_ASSEMBLE, SourceNode: "n1", Pieces: pieces, TargetNode: test.target,
				Destination: &xferv1.Destination{Destination: &xferv1.Destination_Path{Path: []byte(test.dst)}},
			}
			s, err := api.Submit(ctx, "", spec)
			if err != nil {
				t.Fatal(err)
			}
			tr, err := api.Wait(ctx, s.GetName())
			if err != nil || client.TransferError(tr) != nil {
				t.Fatal(err, client.TransferError(tr))
			}
			if got := must(os.ReadFile(test.dst))(t); !bytes.Equal(got, want) {
				t.Errorf("%d bytes, want %d, or other ones", len(got), len(want))
			}
			p := tr.GetDataPath()
			if p.GetTransport() != test.transport {
				t.Errorf("the path is %v", p)
			}
			// Inside one node the bytes do not leave the kernel, and nobody says
			// that they were looked at.
			if kernel := p.GetSource().GetKernelBytes(); test.transport == "local" && (kernel != int64(len(want)) || p.GetVerify() != "kernel_copy" || p.GetSource().GetCopiedBytes() != 0) {
				t.Errorf("%d bytes went in the kernel, of %d: %v", kernel, len(want), p)
			}
			noTemps(t, filepath.Dir(test.dst))
		})
	}

	// A range that the file does not have.
	spec := &xferv1.TransferSpec{
		Mode: xferv1.Mode_MODE_ASSEMBLE, SourceNode: "n1", TargetNode: "n2",
		Pieces:      &xferv1.Pieces{Paths: pieces.Paths[:1], PathIndex: []uint32{0}, Offset: []int64{parts*part - 10}, Length: []int64{20}, DestOffset: []int64{0}},
		Destination: &xferv1.Destination{Destination: &xferv1.Destination_Path{Path: []byte(filepath.Join(dirs[1], "short"))}},
	}
	api := c.dial(t)
	s, err := api.Submit(context.Background(), "", spec)
	if err == nil {
		var tr *xferv1.Transfer
		if tr, err = api.Wait(context.Background(), s.GetName()); err == nil {
			err = client.TransferError(tr)
		}
	}
	if err == nil {
		t.Error("a range behind the end of the file was accepted")
	}
	if _, err := os.Lstat(filepath.Join(dirs[1], "short")); !os.IsNotExist(err) {
		t.Errorf("something was published: %v", err)
	}
}

// A range of a file, to its end, behind a gap: the gap is a hole, and the second
// run finds nothing to do.
func TestRangeWithAGapBefore(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	tree := newTree(t, dirs[0])
	const size, from, to = 9<<20 + 77, 1<<20 + 13, 2<<20 + 5
	src := tree.file("f", size)
	content := must(os.ReadFile(src))(t)
	want := append(make([]byte, to), content[from:]...)
	for _, target := range []string{"n2", "n1"} {
		dst := filepath.Join(dirs[map[string]int{"n1": 0, "n2": 1}[target]], "range")
		spec := &xferv1.TransferSpec{
			Mode: xferv1.Mode_MODE_ASSEMBLE, SourceNode: "n1", TargetNode: target,
			Pieces:      &xferv1.Pieces{Paths: [][]byte{[]byte(src)}, PathIndex: []uint32{0}, Offset: []int64{from}, Length: []int64{-1}, DestOffset: []int64{to}},
			Destination: &xferv1.Destination{Destination: &xferv1.Destination_Path{Path: []byte(dst)}},
		}
		api := c.dial(t)
		for run := range 2 {
			s, err := api.Submit(t.Context(), "", spec)
			if err != nil {
				t.Fatal(err)
			}
			tr, err := api.Wait(t.Context(), s.GetName())
			if err != nil || client.TransferError(tr) != nil {
				t.Fatal(err, client.TransferError(tr))
			}
			if n := moved(tr); run == 0 && n != size-from || run == 1 && n != 0 {
				t.Errorf("to %s, run %d: %d bytes were moved", target, run, n)
			}
		}
		if got := must(os.ReadFile(dst))(t); !bytes.Equal(got, want) {
			t.Errorf("to %s: %d bytes, want %d, or other ones", target, len(got), len(want))
		}
		if h := must(holes(dst))(t); !strings.HasPrefix(h, "0-") {
			t.Errorf("to %s: the gap is no hole: %q", target, h)
		}
	}
}

// -x stays in the file system of the source.
func TestOneFileSystem(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	src, dst := filepath.Join(dirs[0], "src"), filepath.Join(dirs[1], "dst")
	tree := newTree(t, src)
	tree.file("f", 10)
	small(t, filepath.Join(src, "mounted"), "size=1m")
	tree.file("mounted/not", 10)
	c.ok(t, "cp", "-x", "n1:"+src, "n2:"+dst)
	if _, err := os.Lstat(filepath.Join(dst, "mounted/not")); !os.IsNotExist(err) {
		t.Errorf("it went into the other file system: %v", err)
	}
	for _, name := range []string{"f", "mounted"} { // the mount point itself is there
		if _, err := os.Lstat(filepath.Join(dst, name)); err != nil {
			t.Error(err)
		}
	}
	c.ok(t, "cp", "n1:"+src, "n2:"+dst)
	equal(t, src, dst)
}
