package scan

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// fakeRegion is a region over plain memory.
type fakeRegion struct {
	b          []byte
	uid        [16]byte
	generation uint64
	revoked    chan struct{}
	closed     int
}

func (g *fakeRegion) File() *os.File           { return nil }
func (g *fakeRegion) Memory() []byte           { return g.b }
func (g *fakeRegion) Size() int64              { return int64(len(g.b)) }
func (g *fakeRegion) UID() [16]byte            { return g.uid }
func (g *fakeRegion) Generation() uint64       { return g.generation }
func (g *fakeRegion) Revoked() <-chan struct{} { return g.revoked }
func (g *fakeRegion) Pinned(int64)             {}
func (g *fakeRegion) Close() error             { g.closed++; return nil }

type fakeRegions map[string]*fakeRegion

func (r fakeRegions) Read(principal, id string) (Region, error) {
	if g := r[id]; g != nil && principal == "uid:0" {
		return g, nil
	}
	return nil, &transfer.Error{Reason: transfer.RegionNotFound, Path: "@" + id, Err: errors.New("no such region")}
}

// anyRegions has every region, for everybody.
type anyRegions struct{}

func (anyRegions) Read(string, string) (Region, error) { return &fakeRegion{}, nil }

// regionScanner makes a scanner of pieces; top has the file "f" of one byte.
func regionScanner(t *testing.T, r Regions, spec transfer.Spec) (*Scanner, Sources, error) {
	t.Helper()
	top := tree(t, "f")
	x, err := fsroot.OpenExports([]fsroot.Export{{Path: top}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	for i := range spec.Pieces {
		if spec.Pieces[i].Path == "f" {
			spec.Pieces[i].Path = filepath.Join(top, "f")
		}
	}
	spec.Mode, spec.Principal = transfer.ModeAssemble, "uid:0"
	open, err := OpenSources(r, "n1", spec.Principal, spec.Pieces)
	if err != nil {
		return nil, nil, err
	}
	dirs := NewDirs(0)
	t.Cleanup(func() { dirs.Close() })
	s, err := New(Config{Node: "n1", Exports: x, Dirs: dirs, Sources: open}, &spec)
	return s, open, err
}

func TestOpenSources(t *testing.T) {
	r := fakeRegions{"a": {b: make([]byte, 8)}}
	_, open, err := regionScanner(t, r, transfer.Spec{Dest: "/x", Pieces: []transfer.Piece{{Path: "@a", Length: 1}, {Path: "@a", Length: 1, DestOffset: 1}}})
	if err != nil || len(open) != 1 {
		t.Fatalf("%d are open, %v", len(open), err)
	}
	if err := open.Close(); err != nil || r["a"].closed != 1 {
		t.Errorf("closed %d times, %v", r["a"].closed, err)
	}
	_, _, err = regionScanner(t, r, transfer.Spec{Dest: "/x", Pieces: []transfer.Piece{{Path: "@a", Length: 1}, {Path: "@b", Length: 1, DestOffset: 1}}})
	if transfer.ReasonOf(err) != transfer.RegionNotFound || r["a"].closed != 2 {
		t.Errorf("one of two: %v, and the other was closed %d times", err, r["a"].closed)
	}
	if _, err := OpenSources(anyRegions{}, "n1", "", []transfer.Piece{{Path: "@a"}}); transfer.ReasonOf(err) != transfer.RegionNotFound {
		t.Errorf("nobody: %v", err)
	}
	_, _, err = regionScanner(t, nil, transfer.Spec{Dest: "/x", Pieces: []transfer.Piece{{Path: "@a", Length: 1}}})
	if transfer.ReasonOf(err) != transfer.Unsupported {
		t.Errorf("a node without regions: %v", err)
	}
}

func TestRegionIntoFile(t *testing.T) {
	g := &fakeRegion{b: make([]byte, 4096), uid: [16]byte{1, 15: 2}, generation: 7}
	s, _, err := regionScanner(t, fakeRegions{"a": g}, transfer.Spec{Dest: "/x", Pieces: []transfer.Piece{{Path: "@a", Offset: 96, Length: -1}, {Path: "f", Length: -1, DestOffset: 4000}}})
	if err != nil {
		t.Fatal(err)
	}
	c := &collect{t: t, paths: map[uint64]string{}, ended: map[uint64]bool{}, current: transfer.NoParent}
	if _, err := s.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	f := c.found[0]
	if f.Kind != transfer.KindFile || f.Size != 4001 || f.Meta.Perm != 0o600 {
		t.Errorf("found %+v", f.Entry)
	}
	again, err := s.Again(&f)
	if err != nil || again.Print != f.Print {
		t.Errorf("looked at again it is %+v, not %+v, %v", again.Print, f.Print, err)
	}
	g.generation++
	now, err := s.Fingerprint(&f)
	if err != nil || now == f.Print {
		t.Errorf("a write of the region does not show, %v", err)
	}
}

func TestPackIntoRegion(t *testing.T) {
	g := &fakeRegion{b: make([]byte, 4096)}
	s, _, err := regionScanner(t, fakeRegions{"a": g}, transfer.Spec{Dest: "@d", Pieces: []transfer.Piece{
		{Path: "@a", Offset: 4000, Length: -1, DestOffset: 1000}, {Path: "f", Length: -1, DestOffset: 500}, {Path: "@a", Length: 10, DestOffset: 501},
	}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if want := []transport.Range{{Offset: 500, Length: 11}, {Offset: 1000, Length: 96}}; !slices.Equal(p.Layout.Ranges(), want) {
		t.Errorf("ranges %v, want %v", p.Layout.Ranges(), want)
	}
	c := &collect{t: t, paths: map[uint64]string{}, ended: map[uint64]bool{}, current: transfer.NoParent}
	if _, err := s.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	f := c.found[0]
	if f.Kind != transfer.KindRegion || f.Size != 107 || len(f.Assembly.Pieces) != 3 || f.Assembly.Pieces[2].Dest != 11 || f.Assembly.Pieces[2].Offset != 4000 {
		t.Errorf("found %+v of %+v", f.Entry, f.Assembly.Pieces)
	}
	// A file that grew has other places, which nobody was told.
	for _, file := range f.Assembly.Files {
		if file.Region == nil {
			if err := os.WriteFile(file.Path, []byte("longer"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.Again(&f); transfer.ReasonOf(err) != transfer.SourceChanged {
		t.Errorf("a file that grew: %v", err)
	}
}

func TestPackRefuses(t *testing.T) {
	r := fakeRegions{"a": {b: make([]byte, 4096)}}
	for name, tt := range map[string]struct {
		pieces []transfer.Piece
		want   transfer.Reason
	}{
		"overlap":         {[]transfer.Piece{{Path: "@a", Length: 5}, {Path: "@a", Length: 5, DestOffset: 4}}, transfer.InvalidSpec},
		"begins past it":  {[]transfer.Piece{{Path: "@a", Offset: 4097, Length: -1}}, transfer.RegionRange},
		"one byte beyond": {[]transfer.Piece{{Path: "@a", Offset: 1, Length: 4096}}, transfer.RegionRange},
		"overflow":        {[]transfer.Piece{{Path: "@a", Offset: 1<<63 - 1, Length: 1<<63 - 1}}, transfer.RegionRange},
		"of a file":       {[]transfer.Piece{{Path: "f", Offset: 1, Length: 1}}, transfer.InvalidSpec},
	} {
		s, _, err := regionScanner(t, r, transfer.Spec{Dest: "@d", Pieces: tt.pieces})
		if err == nil {
			if _, err = s.Pack(); err == nil {
				_, err = s.Run(t.Context(), &collect{t: t})
			}
		}
		if transfer.ReasonOf(err) != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}
