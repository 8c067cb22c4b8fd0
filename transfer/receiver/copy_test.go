package receiver

import (
	"os"
	"testing"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

func TestTree(t *testing.T) {
	g := newRig(t)
	big := pattern(3*testChunk+777, 1)
	o, fin := g.copyAll(g.request("a/b/tree"),
		dir(root, ""),
		regular(0, "small", []byte("hello")),
		regular(0, "empty", nil),
		dir(0, "sub"),
		symlink(0, "link", "small"),
		hardlink(0, "hard", 1),
		endDir(0),
		regular(3, "big", big),
		hardlink(3, "hard2", 5),
		endDir(3),
	)
	if fin.Err != nil {
		t.Fatal(fin.Err)
	}
	for n := range o.sources {
		o2 := transfer.OutcomePublished
		if o.sources[n].Kind == transfer.KindEndDir {
			o2 = transfer.OutcomeSame
		}
		o.want(uint64(n), o2)
	}
	if r := o.result(7); r.Bytes != int64(len(big)) || r.Digest != transfer.FileDigest(testChunk, int64(len(big)), o.digests(7)) || r.Change != transfer.ChangeNew {
		t.Errorf("result of the large file: %+v", r)
	}
	g.wantFile("a/b/tree/small", []byte("hello"))
	g.wantFile("a/b/tree/empty", nil)
	g.wantFile("a/b/tree/sub/big", big)
	g.wantFile("a/b/tree/hard", []byte("hello"))
	for _, p := range []string{"hard", "sub/hard2"} {
		a, _ := os.Stat(g.path("a/b/tree/small"))
		b, err := os.Stat(g.path("a/b/tree/" + p))
		if err != nil || !os.SameFile(a, b) {
			t.Errorf("%s is no hard link: %v", p, err)
		}
	}
	if l, err := os.Readlink(g.path("a/b/tree/link")); l != "small" {
		t.Errorf("link %q, %v", l, err)
	}
	for p, mode := range map[string]os.FileMode{"small": 0o640, "sub/big": 0o640, "sub": os.ModeDir | 0o750, "": os.ModeDir | 0o750} {
		st, err := os.Lstat(g.path("a/b/tree/" + p))
		if err != nil || st.Mode() != mode || !st.ModTime().Equal(time.Unix(0, testTime)) {
			t.Errorf("%q: %v %v, %v", p, st.Mode(), st.ModTime(), err)
		}
	}
	g.wantClean()

	// Again: all of it is the same, and nothing is asked for.
	o, fin = g.copyAll(g.request("a/b/tree"), sources(o)...)
	if fin.Err != nil {
		t.Fatal(fin.Err)
	}
	for n := range o.sources {
		o.want(uint64(n), transfer.OutcomeSame)
	}
	g.wantClean()
}

// sources returns those of an earlier edge, to announce them again.
func sources(o *owner) []source { return o.sources }

func TestIntoDir(t *testing.T) {
	g := newRig(t)
	_, fin := g.copyAll(g.request("new/dir", func(m *transfer.Open) { m.DestMode = transfer.DestInto }),
		regular(root, "f", []byte("1")), dir(root, "d"), regular(1, "g", []byte("2")), endDir(1))
	if fin.Err != nil {
		t.Fatal(fin.Err)
	}
	g.wantFile("new/dir/f", []byte("1"))
	g.wantFile("new/dir/d/g", []byte("2"))
	g.wantClean()
}

func TestExportRootIsADirectory(t *testing.T) {
	g := newRig(t)
	o, fin := g.copyAll(g.request("", func(m *transfer.Open) { m.Dest = g.dir }), dir(root, ""), regular(0, "f", []byte("1")), endDir(0))
	if fin.Err != nil {
		t.Fatal(fin.Err)
	}
	o.want(1, transfer.OutcomePublished)
	g.wantFile("f", []byte("1"))
	o, _ = g.copyAll(g.request("", func(m *transfer.Open) { m.Dest = g.dir }), regular(root, "", []byte("1")))
	o.fails(0, transfer.DestTypeConflict)
	g.wantClean()
}

func TestPacksAndMemory(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("d"))
	list := []source{dir(root, "")}
	for i := range 600 {
		list = append(list, regular(0, "f"+string(rune('a'+i%26))+time.Duration(i).String(), pattern(i*7%3000+1, byte(i))))
	}
	o.announce(append(list, endDir(0))...)
	var pack []transport.Arrival
	for n := 1; n <= 600; n++ {
		o.answer(uint64(n))
		pack = append(pack, o.extent(uint64(n), 0))
		if len(pack) == 300 {
			for i, v := range o.land(pack...) {
				if v.Code != transport.Placed || v.Digest != pack[i].Digest {
					t.Fatalf("verdict %+v", v)
				}
			}
			pack = nil
		}
	}
	o.serve()
	if fin := o.finish(); fin.Err != nil {
		t.Fatal(fin.Err)
	}
	for n := 1; n <= 600; n++ {
		g.wantFile("d/"+o.sources[n].Name, o.sources[n].data)
	}
	g.wantClean()
}

func TestSparse(t *testing.T) {
	g := newRig(t)
	data := make([]byte, 4*testChunk)
	copy(data[2*testChunk+4096:], pattern(4096, 9))
	s := regular(root, "", data)
	s.Flags = transfer.EntrySparse
	o := g.dial(g.request("sparse"))
	o.announce(s)
	o.answer(0)
	seg := transport.Range{Offset: 2*testChunk + 4096, Length: 4096}
	for i := range int64(4) {
		a := o.extent(0, i*testChunk)
		a.Segments = nil
		if i == 2 {
			// The first try arrives damaged, with other segments: it must leave no
			// byte where the second has a hole.
			bad := o.extent(0, i*testChunk)
			landings, err := o.sink().Place(t.Context(), 1, []transport.ExtentHeader{bad.ExtentHeader})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := landings[0].File.WriteAt(pattern(testChunk, 5), bad.Offset); err != nil {
				t.Fatal(err)
			}
			bad.Code, bad.Err = transport.Mismatch, transport.ErrMismatch
			if v := o.sink().Landed(t.Context(), 1, []transport.Arrival{bad}); v[0].Code != transport.Mismatch {
				t.Fatalf("verdict %+v", v)
			}
			a.Segments = []transport.Range{seg}
		}
		if v := o.land(a); v[0].Code != transport.Placed {
			t.Fatalf("verdict %+v", v)
		}
	}
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 0}}})
	o.want(0, transfer.OutcomePublished)
	o.finish()
	g.wantFile("sparse", data)
	g.wantClean()
}

func TestVerifyAndDurability(t *testing.T) {
	for _, v := range []transfer.Verify{transfer.VerifyNone, transfer.VerifyWire, transfer.VerifyStore, transfer.VerifyMedia} {
		for _, d := range []transfer.Durability{transfer.DurabilityFull, transfer.DurabilityNone} {
			t.Run(string(v)+" "+string(d), func(t *testing.T) {
				g := newRig(t)
				o, fin := g.copyAll(g.request("d", func(m *transfer.Open) { m.Options.Verify, m.Options.Durability = v, d }),
					dir(root, ""), regular(0, "a", pattern(100, 1)), regular(0, "b", pattern(2*testChunk, 2)), regular(0, "e", nil), endDir(0))
				if fin.Err != nil {
					t.Fatal(fin.Err)
				}
				for n := range uint64(4) {
					o.want(n, transfer.OutcomePublished)
				}
				g.wantFile("d/b", pattern(2*testChunk, 2))
				g.wantClean()
			})
		}
	}
}

func TestStoreReadBackCatchesOtherBytes(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("f", func(m *transfer.Open) { m.Options.Verify = transfer.VerifyStore }))
	o.announce(regular(root, "", pattern(3*testChunk, 1)))
	o.answer(0)
	o.sendRange(0, transport.Range{Length: 3 * testChunk})
	temp := g.temps()
	if len(temp) != 1 {
		t.Fatal(temp)
	}
	h, err := os.OpenFile(temp[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.WriteAt([]byte{1}, testChunk+5); err != nil {
		t.Fatal(err)
	}
	h.Close()
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 0}}})
	o.fails(0, transfer.ChecksumMismatch)
	o.finish()
	if exists(g.path("f")) {
		t.Error("published")
	}
	g.wantClean()
}

func TestPing(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("f"))
	o.send(&transfer.Ping{Seq: 7})
	if p, ok := o.next().(*transfer.Pong); !ok || p.Seq != 7 {
		t.Errorf("%v", p)
	}
	o.abort(transfer.EndCancel)
	g.wantClean()
}
