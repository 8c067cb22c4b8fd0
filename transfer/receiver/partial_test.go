package receiver

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// interrupt lands the first extents of one large file and ends the edge.
func (g *rig) interrupt(m *transfer.Open, s source, extents int64, end transfer.End) {
	g.t.Helper()
	o := g.dial(m)
	o.announce(s)
	o.answer(0)
	if !o.sendRange(0, transport.Range{Length: extents * testChunk}) {
		g.t.Fatal("not placed")
	}
	if end == 0 {
		o.close()
	} else {
		o.abort(end)
	}
}

func next(m *transfer.Open) *transfer.Open {
	again := *m
	again.Epoch += 1_000_000
	return &again
}

func TestResume(t *testing.T) {
	for name, end := range map[string]transfer.End{"lost": 0, "pause": transfer.EndPause, "cancel": transfer.EndCancel} {
		for _, verify := range []transfer.Verify{transfer.VerifyWire, transfer.VerifyNone} {
			for _, restart := range []bool{false, true} {
				t.Run(name+" "+string(verify), func(t *testing.T) {
					g := newRig(t)
					s := regular(root, "", pattern(5*testChunk+9, 3))
					m := g.request("a/f", func(m *transfer.Open) { m.Options.Verify = verify })
					g.interrupt(m, s, 3, end)
					if exists(g.path("a/f")) {
						t.Fatal("P6: published")
					}
					if len(g.temps()) != 1 || g.partials() != 1 {
						t.Fatalf("temps %q, partials %d", g.temps(), g.partials())
					}
					if restart {
						g.restart()
					}
					// After a cancel it is another transfer that goes on, else the same.
					again := next(m)
					if end == transfer.EndCancel {
						again.UID = transfer.NewUID()
					}
					o := g.dial(again)
					o.announce(s)
					a := o.answer(0)
					want := transport.Range{Offset: 3 * testChunk, Length: 2*testChunk + 9}
					if a.Want != transfer.WantRanges || len(a.Ranges) != 1 || a.Ranges[0] != want {
						t.Fatalf("asked for %+v", a)
					}
					o.sendRange(0, want)
					o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 0}}})
					r := o.want(0, transfer.OutcomePublished)
					if r.Bytes != want.Length {
						t.Errorf("moved %d", r.Bytes)
					}
					o.finish()
					g.wantFile("a/f", s.data)
					g.wantClean()
				})
			}
		}
	}
}

func TestResumeChecksEveryByte(t *testing.T) {
	g := newRig(t)
	s := regular(root, "", pattern(4*testChunk, 3))
	m := g.request("f")
	g.interrupt(m, s, 3, 0)
	h, err := os.OpenFile(g.temps()[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.WriteAt([]byte{0xff}, testChunk+1); err != nil {
		t.Fatal(err)
	}
	h.Close()
	o := g.dial(next(m))
	o.announce(s)
	a := o.answer(0)
	if a.Want != transfer.WantRanges || len(a.Ranges) != 2 || a.Ranges[0] != (transport.Range{Offset: testChunk, Length: testChunk}) {
		t.Fatalf("asked for %+v", a)
	}
	for _, r := range a.Ranges {
		o.sendRange(0, r)
	}
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 0}}})
	o.want(0, transfer.OutcomePublished)
	o.finish()
	g.wantFile("f", s.data)
	g.wantClean()
}

func TestResumeOfAWholeFile(t *testing.T) {
	g := newRig(t)
	s := regular(root, "", pattern(3*testChunk, 3))
	m := g.request("f")
	g.interrupt(m, s, 3, 0)
	o := g.dial(next(m))
	o.announce(s)
	if a := o.answer(0); a.Want != transfer.WantRanges || len(a.Ranges) != 0 {
		t.Fatalf("asked for %+v", a)
	}
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 0, Digest: transfer.FileDigest(testChunk, s.Size, o.digests(0))}}})
	o.want(0, transfer.OutcomePublished)
	o.finish()
	g.wantFile("f", s.data)
	g.wantClean()
}

func TestPartialIsNotUsed(t *testing.T) {
	tests := map[string]func(g *rig, m *transfer.Open, s *source){
		"other version":    func(_ *rig, _ *transfer.Open, s *source) { s.Print.Ctime++ },
		"other chunk size": func(_ *rig, m *transfer.Open, _ *source) { m.Options.ChunkSize = 2 * testChunk },
		"temp is gone":     func(g *rig, _ *transfer.Open, _ *source) { os.Remove(g.temps()[0]) },
		"another file": func(g *rig, _ *transfer.Open, _ *source) {
			name := g.temps()[0]
			os.Rename(name, name+"x")
			os.WriteFile(name, pattern(4*testChunk, 9), 0o600)
			os.Remove(name + "x")
		},
		"grown": func(g *rig, _ *transfer.Open, _ *source) { os.Truncate(g.temps()[0], 99*testChunk) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			s := regular(root, "", pattern(4*testChunk, 3))
			m := g.request("f")
			g.interrupt(m, s, 3, 0)
			again := next(m)
			change(g, again, &s)
			o := g.dial(again)
			o.announce(s)
			if a := o.answer(0); a.Want != transfer.WantAll {
				t.Fatalf("asked for %+v", a)
			}
			o.abort(transfer.EndPurge)
			switch name {
			case "other version":
				g.mustSweepPartials()
			case "another file": // has our name and is not ours: it stays
				if len(g.temps()) != 1 {
					t.Fatal("a file that is not ours was removed")
				}
				os.Remove(g.temps()[0])
			}
			g.wantClean()
		})
	}
}

// TestFinishedDropsOutdatedPartials: what an attempt kept of a version that the source
// no longer has goes with the end of the transfer, and not the directory around it.
func TestFinishedDropsOutdatedPartials(t *testing.T) {
	for _, restart := range []bool{false, true} {
		g := newRig(t)
		m := g.request("x")
		s := regular(0, "f", pattern(4*testChunk, 3))
		gone := regular(2, "gone", pattern(4*testChunk, 4))
		o := g.dial(m)
		o.announce(dir(root, ""), s, dir(0, "sub"), gone)
		for _, n := range []uint64{1, 3} {
			o.answer(n)
			o.sendRange(n, transport.Range{Length: 2 * testChunk})
		}
		o.close()
		if g.partials() != 2 {
			t.Fatalf("%d partials", g.partials())
		}
		if restart {
			g.restart()
		}
		s.Print.Ctime++
		g.copyAll(next(m), dir(root, ""), s, dir(0, "sub"))
		g.wantFile("x/f", s.data)
		g.wantClean()
		if !exists(g.path("x/sub")) {
			t.Error("the directory of the copy is gone")
		}
	}
}

// mustSweepPartials lets the partials that are left go by their age.
func (g *rig) mustSweepPartials() {
	g.t.Helper()
	if err := g.sweep(time.Now().Add(DefaultPartialTTL + time.Hour)); err != nil {
		g.t.Error(err)
	}
}

func TestPartialTTL(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("made/tree"))
	o.announce(dir(root, ""), dir(0, "sub"), regular(1, "f", pattern(4*testChunk, 1)), dir(0, "empty"))
	o.answer(2)
	o.sendRange(2, transport.Range{Length: testChunk})
	o.abort(transfer.EndCancel)
	if exists(g.path("made/tree/empty")) {
		t.Error("P6: an empty directory is left")
	}
	if len(g.temps()) != 1 {
		t.Fatal(g.temps())
	}
	if err := g.sweep(time.Now().Add(DefaultPartialTTL - time.Hour)); err != nil || g.partials() != 1 {
		t.Errorf("%v, %d partials", err, g.partials())
	}
	g.mustSweepPartials()
	g.wantClean()
	if exists(g.path("made")) {
		t.Error("P6: the directories of the partial's making are left")
	}
}

func TestPurge(t *testing.T) {
	g := newRig(t)
	s := regular(root, "", pattern(4*testChunk, 3))
	m := g.request("a/f")
	g.interrupt(m, s, 3, transfer.EndPause)
	o := g.dial(next(m))
	o.abort(transfer.EndPurge)
	g.wantClean()
	if exists(g.path("a")) {
		t.Error("P6: the directory of its making is left")
	}
}

func TestSparseResume(t *testing.T) {
	g := newRig(t)
	s := regular(root, "", make([]byte, 4*testChunk))
	s.Flags = transfer.EntrySparse
	copy(s.data, pattern(testChunk, 1))
	m := g.request("f")
	o := g.dial(m)
	o.announce(s)
	o.answer(0)
	o.sendRange(0, transport.Range{Length: testChunk})
	// Bytes that nobody recorded are in the temp where the source has a hole.
	h, err := os.OpenFile(g.temps()[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.WriteAt(pattern(testChunk, 5), 2*testChunk); err != nil {
		t.Fatal(err)
	}
	h.Close()
	o.close()
	o = g.dial(next(m))
	o.announce(s)
	if a := o.answer(0); a.Want != transfer.WantRanges {
		t.Fatalf("asked for %+v", a)
	}
	for i := int64(1); i < 4; i++ {
		a := o.extent(0, i*testChunk)
		a.Segments = nil
		o.land(a)
	}
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 0}}})
	o.want(0, transfer.OutcomePublished)
	o.finish()
	g.wantFile("f", s.data)
	g.wantClean()
}

// TestPartialThatTheDiskRefused: what the page cache has of a partial counts for
// nothing, when a sync of it failed before the node died. Here the disk has other bytes
// than the cache, as it has after a write that it refused.
func TestPartialThatTheDiskRefused(t *testing.T) {
	disk := needs.Disk(t, "ext4", 64)
	g := newRigAt(t, disk, t.TempDir())
	s := regular(root, "", pattern(4*testChunk, 3))
	m := g.request("f")
	g.interrupt(m, s, 2, transfer.EndPause)
	temps := g.temps()
	if len(temps) != 1 {
		t.Fatalf("temps %q", temps)
	}
	spoilOnDisk(t, temps[0])
	g.restart()
	o := g.dial(next(m))
	o.announce(s)
	a := o.answer(0)
	if a.Want != transfer.WantAll && !slices.ContainsFunc(a.Ranges, func(r transport.Range) bool { return r.Offset == 0 }) {
		t.Errorf("the first chunk counts as landed: asked for %+v", a)
	}
	o.abort(transfer.EndPurge)
}

// spoilOnDisk changes the first bytes of a file where its disk has them, behind the
// page cache, which has been written out and keeps the old ones.
func spoilOnDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	block, err := unix.IoctlGetInt(int(f.Fd()), fibmap) // in: 0, the first block
	if err != nil {
		needs.Missing(t, "no block number of a file: %v", err)
	}
	size, err := unix.IoctlGetInt(int(f.Fd()), figetbsz)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	dev := info.Sys().(*syscall.Stat_t).Dev
	name, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(dev), unix.Minor(dev)))
	if err != nil {
		needs.Missing(t, "no block device of the disk: %v", err)
	}
	raw, err := os.OpenFile("/dev/"+filepath.Base(name), os.O_RDWR|syscall.O_DIRECT, 0)
	if err != nil {
		needs.Missing(t, "the disk cannot be opened: %v", err)
	}
	defer raw.Close()
	// Memory of whole pages.
	b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(b) }()
	copy(b, "other bytes")
	if _, err := raw.WriteAt(b, int64(block)*int64(size)); err != nil {
		t.Fatal(err)
	}
	cached := make([]byte, 11)
	if _, err := f.ReadAt(cached, 0); err != nil || string(cached) == "other bytes" {
		t.Fatalf("the page cache did not keep the file: %q, %v", cached, err)
	}
}

// Of linux/fs.h: FIBMAP and FIGETBSZ.
const fibmap, figetbsz = 1, 2
