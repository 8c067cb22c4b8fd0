package server

import (
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

func fromRegion(id string, offset int64, length *int64) func(*xferv1.TransferSpec) {
	return func(m *xferv1.TransferSpec) {
		m.Sources = []*xferv1.Source{{Source: &xferv1.Source_Region{Region: &xferv1.RegionSource{RegionId: id, Offset: offset, Length: length}}}}
	}
}

func toRegion(id string, offset int64) func(*xferv1.TransferSpec) {
	return func(m *xferv1.TransferSpec) {
		m.Destination = &xferv1.Destination{Destination: &xferv1.Destination_Region{Region: &xferv1.RegionDestination{RegionId: id, Offset: offset}}}
	}
}

func gather(regions []string, rows ...[4]int64) func(*xferv1.TransferSpec) {
	return func(m *xferv1.TransferSpec) {
		m.Mode, m.Sources = xferv1.Mode_MODE_ASSEMBLE, nil
		m.Pieces = &xferv1.Pieces{Paths: [][]byte{[]byte("/data/a")}, Regions: regions}
		for _, r := range rows {
			m.Pieces.PathIndex = append(m.Pieces.PathIndex, uint32(r[0]))
			m.Pieces.Offset = append(m.Pieces.Offset, r[1])
			m.Pieces.Length = append(m.Pieces.Length, r[2])
			m.Pieces.DestOffset = append(m.Pieces.DestOffset, r[3])
		}
	}
}

func here(m *xferv1.TransferSpec) { m.TargetNode = m.SourceNode }

func both(f ...func(*xferv1.TransferSpec)) func(*xferv1.TransferSpec) {
	return func(m *xferv1.TransferSpec) {
		for _, g := range f {
			g(m)
		}
	}
}

// What a spec with regions becomes, and what Get shows of it can be submitted again.
func TestSpecOfRegions(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*xferv1.TransferSpec)
		dest   string
		pieces []transfer.Piece
	}{
		{"region to region", both(fromRegion("a", 0, nil), toRegion("b", 0)), "@b", []transfer.Piece{{Path: "@a", Length: -1}}},
		{"ranges on both sides", both(fromRegion("a", 7, new(int64(9))), toRegion("b", 11)), "@b", []transfer.Piece{{Path: "@a", Offset: 7, Length: 9, DestOffset: 11}}},
		{"file into a region", both(func(m *xferv1.TransferSpec) { sources(m, "/data/a") }, toRegion("b", 5)), "@b", []transfer.Piece{{Path: "/data/a", Length: -1, DestOffset: 5}}},
		{"region into a file", both(fromRegion("a", 0, nil), func(m *xferv1.TransferSpec) { dest(m, "/data/x") }), "/data/x", []transfer.Piece{{Path: "@a", Length: -1}}},
		{"region into a directory", both(fromRegion("a", 0, nil), func(m *xferv1.TransferSpec) {
			dest(m, "/data/x")
			m.Destination.Mode = xferv1.DestinationMode_DESTINATION_MODE_INTO_DIR
		}), "/data/x/a", []transfer.Piece{{Path: "@a", Length: -1}}},
		{"nothing of a region", both(fromRegion("a", 3, new(int64(0))), toRegion("b", 0)), "@b", []transfer.Piece{{Path: "@a", Offset: 3}}},
		{"pieces of both kinds", both(gather([]string{"r", "q"}, [4]int64{2, 1, 2, 0}, [4]int64{0, 0, 5, 10}, [4]int64{1, 4, 4, 20}), toRegion("b", 100)), "@b", []transfer.Piece{
			{Path: "@q", Offset: 1, Length: 2, DestOffset: 100}, {Path: "/data/a", Length: 5, DestOffset: 110}, {Path: "@r", Offset: 4, Length: 4, DestOffset: 120},
		}},
		{"in one region, apart", both(here, fromRegion("b", 0, new(int64(8))), toRegion("b", 8)), "@b", []transfer.Piece{{Path: "@b", Length: 8, DestOffset: 8}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := goodSpec()
			tt.change(m)
			s, err := specIn(m)
			if err != nil {
				t.Fatal(err)
			}
			if s.Mode != transfer.ModeAssemble || s.Dest != tt.dest || !slices.Equal(s.Pieces, tt.pieces) {
				t.Errorf("it became %s of %+v to %s", s.Mode, s.Pieces, s.Dest)
			}
			again, err := specIn(proto.CloneOf(specOut(&s, true)))
			if err != nil {
				t.Fatal(err)
			}
			if again.Mode != s.Mode || again.Dest != s.Dest || !slices.Equal(again.Pieces, s.Pieces) {
				t.Errorf("submitted again it became %s of %+v to %s", again.Mode, again.Pieces, again.Dest)
			}
		})
	}
}

func TestBadSpecsOfRegions(t *testing.T) {
	copyIt := both(fromRegion("a", 0, nil), toRegion("b", 0))
	for _, tt := range []struct {
		name   string
		change func(*xferv1.TransferSpec)
		want   transfer.Reason
	}{
		{"no id", both(copyIt, fromRegion("", 0, nil)), transfer.InvalidSpec},
		{"a path as id", both(copyIt, toRegion("/a", 0)), transfer.InvalidSpec},
		{"negative offset", both(copyIt, fromRegion("a", -1, nil)), transfer.InvalidSpec},
		{"negative offset there", both(copyIt, toRegion("a", -1)), transfer.InvalidSpec},
		{"negative length", both(copyIt, fromRegion("a", 0, new(int64(-1)))), transfer.InvalidSpec},
		{"end past 2^63", both(copyIt, fromRegion("a", 1, new(int64(math.MaxInt64)))), transfer.InvalidSpec},
		{"end past 2^63 there", both(fromRegion("a", 0, new(int64(math.MaxInt64))), toRegion("b", 1)), transfer.InvalidSpec},
		{"piece past 2^63", both(gather([]string{"r"}, [4]int64{1, 0, 2, math.MaxInt64 - 2}), toRegion("b", 1)), transfer.InvalidSpec},
		{"place past 2^63", both(gather([]string{"r"}, [4]int64{1, 0, 0, math.MaxInt64}), toRegion("b", 1)), transfer.InvalidSpec},
		{"unknown region of pieces", both(gather([]string{"r"}, [4]int64{2, 0, 1, 0}), toRegion("b", 0)), transfer.InvalidSpec},
		{"sync", both(mirror, toRegion("b", 0)), transfer.InvalidSpec},
		{"verify", both(copyIt, func(m *xferv1.TransferSpec) { m.Mode = xferv1.Mode_MODE_VERIFY }), transfer.InvalidSpec},
		{"two sources", both(toRegion("b", 0), func(m *xferv1.TransferSpec) { sources(m, "/data/a", "/data/b") }), transfer.InvalidSpec},
		{"contents", both(toRegion("b", 0), func(m *xferv1.TransferSpec) { m.Sources = []*xferv1.Source{source("/data/a", true)} }), transfer.InvalidSpec},
		{"into", both(copyIt, func(m *xferv1.TransferSpec) {
			m.Destination.Mode = xferv1.DestinationMode_DESTINATION_MODE_INTO_DIR
		}), transfer.InvalidSpec},
		{"files from", both(copyIt, func(m *xferv1.TransferSpec) { m.FilesFrom = [][]byte{[]byte("x")} }), transfer.InvalidSpec},
		{"filters", both(copyIt, func(m *xferv1.TransferSpec) { m.Filters = []*xferv1.FilterRule{{Pattern: []byte("x")}} }), transfer.InvalidSpec},
		{"media", both(copyIt, func(m *xferv1.TransferSpec) { m.Verify = xferv1.Verify_VERIFY_MEDIA }), transfer.InvalidSpec},
		{"checksum", both(copyIt, func(m *xferv1.TransferSpec) { m.Compare = xferv1.Compare_COMPARE_CHECKSUM }), transfer.InvalidSpec},
		{"size only", both(fromRegion("a", 0, nil), func(m *xferv1.TransferSpec) { m.Compare = xferv1.Compare_COMPARE_SIZE }), transfer.InvalidSpec},
		{"chmod", both(copyIt, func(m *xferv1.TransferSpec) { m.Chmod = "F600" }), transfer.InvalidSpec},
		{"itself", both(here, copyIt, fromRegion("b", 0, nil)), transfer.SameFile},
		{"itself by one byte", both(here, fromRegion("b", 0, new(int64(9))), toRegion("b", 8)), transfer.SameFile},
		{"itself by one byte, before", both(here, fromRegion("b", 8, new(int64(9))), toRegion("b", 0)), transfer.SameFile},
		{"itself up to its end", both(here, fromRegion("b", 0, nil), toRegion("b", 1<<40)), transfer.SameFile},
		{"pieces overlap", both(gather([]string{"r"}, [4]int64{1, 0, 5, 0}, [4]int64{0, 0, 5, 4}), toRegion("b", 0)), transfer.InvalidSpec},
		{"one piece reads what another writes", both(here, gather([]string{"b"}, [4]int64{1, 0, 5, 10}, [4]int64{1, 12, 1, 20}), toRegion("b", 0)), transfer.SameFile},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := goodSpec()
			tt.change(m)
			s, err := specIn(m)
			if transfer.ReasonOf(err) != tt.want {
				t.Errorf("%+v, error %v, want %s", s, err, tt.want)
			}
		})
	}
}
