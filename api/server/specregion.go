package server

import (
	"cmp"
	"math"
	"path"
	"slices"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// regionIn checks the id of a region and returns the path that stands for it.
func regionIn(field, id string) (string, error) {
	if !transfer.CheckRegionID(id) {
		return "", invalid(field, "%.200q can not be the id of a region: 1 to %d letters, digits, '.', '_' and '-', the first a letter or digit", id, transfer.MaxRegionID)
	}
	return transfer.RegionPath(id), nil
}

// destinationIn checks and translates the destination. at is where in a region it
// begins.
func destinationIn(m *xferv1.TransferSpec, s *transfer.Spec) (at int64, err error) {
	switch d := m.GetDestination().GetDestination().(type) {
	case *xferv1.Destination_Path:
		s.Dest, err = userPathIn("spec.destination.path", d.Path)
		return 0, err
	case *xferv1.Destination_Region:
		if s.Dest, err = regionIn("spec.destination.region.region_id", d.Region.GetRegionId()); err != nil {
			return 0, err
		}
		if at = d.Region.GetOffset(); at < 0 {
			return 0, invalid("spec.destination.region.offset", "%d is negative", at)
		}
		return at, nil
	}
	return 0, invalid("spec.destination", "it is missing")
}

// regionSource returns the source that is a region; nil where none is.
func regionSource(m *xferv1.TransferSpec) *xferv1.RegionSource {
	for _, src := range m.GetSources() {
		if r := src.GetRegion(); r != nil {
			return r
		}
	}
	return nil
}

// regionCopyIn makes the copy of a region, or into one, what it is: one piece of an
// assembled destination. It reports false where it is neither.
func regionCopyIn(m *xferv1.TransferSpec, s *transfer.Spec, at int64) (bool, error) {
	src := regionSource(m)
	_, into := s.IntoRegion()
	switch {
	case src == nil && !into:
		return false, nil
	case s.Mode != transfer.ModeCopy:
		return false, invalid("spec.mode", "a region is copied, or assembled of pieces; there is no sync or verification of one")
	case m.GetPieces() != nil:
		return false, invalid("spec.pieces", "they are for assemble only")
	case len(m.GetSources()) != 1:
		return false, invalid("spec.sources", "a copy of a region, or into one, has one source, and there are %d; several go as pieces (assemble)", len(m.GetSources()))
	case len(m.GetFilesFrom()) > 0:
		return false, invalid("spec.files_from", "a region has no files")
	case into && s.DestMode != transfer.DestExact:
		return false, invalid("spec.destination.mode", "a region is no directory to go into")
	}
	p := transfer.Piece{Length: -1, DestOffset: at}
	var err error
	if src == nil {
		file := m.GetSources()[0].GetPath()
		if file.GetContents() {
			return false, invalid("spec.sources.path.contents", "a directory can not go into a region")
		}
		p.Path, err = userPathIn("spec.sources.path", file.GetPath())
	} else {
		p.Path, err = regionIn("spec.sources.region.region_id", src.GetRegionId())
		p.Offset = src.GetOffset()
		if src.Length != nil {
			p.Length = src.GetLength()
		}
	}
	switch {
	case err != nil:
		return false, err
	case p.Offset < 0:
		return false, invalid("spec.sources.region.offset", "%d is negative", p.Offset)
	case src.GetLength() < 0:
		return false, invalid("spec.sources.region.length", "%d is negative", p.Length)
	case p.Length > math.MaxInt64-p.Offset, p.Length > math.MaxInt64-at:
		return false, invalid("spec.sources.region.length", "it ends past 2^63")
	}
	if s.DestMode == transfer.DestInto {
		s.DestMode, s.Dest = transfer.DestExact, path.Join(s.Dest, src.GetRegionId())
	}
	s.Mode, s.Pieces = transfer.ModeAssemble, []transfer.Piece{p}
	return true, nil
}

// regionsIn checks what is said of a transfer with a region on either side.
func regionsIn(s *transfer.Spec) error {
	id, into := s.IntoRegion()
	if !into && !s.FromRegions() {
		return nil
	}
	switch {
	case s.Compare == transfer.CompareSize:
		return invalid("spec.compare", "the size of a region does not tell whether its bytes are the same")
	case !into:
		return nil
	case s.Compare != transfer.CompareSizeMtime:
		return invalid("spec.compare", "a region is always written")
	case s.Verify == transfer.VerifyMedia:
		return invalid("spec.verify", "a region is on no device to read back from; store reads its memory")
	case s.ChownUID != nil || s.ChownGID != nil || s.Chmod != "" || s.Force:
		return invalid("spec.destination.region", "a region has no owner, permissions or type that could be changed")
	case s.Source == s.Target:
		return apart(s.Pieces, transfer.RegionPath(id), s.Dest)
	}
	return nil
}

// apart refuses ranges of a region that are read and written by the same transfer.
func apart(pieces []transfer.Piece, region, dest string) error {
	type span struct {
		from, end int64
		write     bool
	}
	var all []span
	end := func(at, length int64) int64 {
		if length < 0 { // up to an end that is not known here
			return math.MaxInt64
		}
		return at + length
	}
	reads := false
	for _, p := range pieces {
		if p.Length == 0 {
			continue
		}
		all = append(all, span{p.DestOffset, end(p.DestOffset, p.Length), true})
		if p.Path == region {
			reads = true
			all = append(all, span{p.Offset, end(p.Offset, p.Length), false})
		}
	}
	if !reads {
		return nil
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var read, written int64 // how far
	for _, x := range all {
		if x.write && x.from < read || !x.write && x.from < written {
			e := placed(refuse(transfer.SameFile, "spec.destination.region", "bytes from %d on would be read and written at once", x.from), dest)
			e.Hint = "name the length of what is read, and ranges that do not overlap"
			return e
		}
		if x.write {
			written = max(written, x.end)
		} else {
			read = max(read, x.end)
		}
	}
	return nil
}

// destinationOut is the reverse of destinationIn.
func destinationOut(s *transfer.Spec, at int64) *xferv1.Destination {
	d := &xferv1.Destination{Mode: destModes.out(s.DestMode)}
	if id, ok := s.IntoRegion(); ok {
		d.Destination = &xferv1.Destination_Region{Region: &xferv1.RegionDestination{RegionId: id, Offset: at}}
	} else {
		d.Destination = &xferv1.Destination_Path{Path: []byte(s.Dest)}
	}
	return d
}

// regionCopyOut returns the one source of a copy of a region or into one, and where
// it lands; false for other transfers.
func regionCopyOut(s *transfer.Spec) (src *xferv1.Source, at int64, ok bool) {
	_, into := s.IntoRegion()
	if len(s.Pieces) != 1 || !into && !s.FromRegions() {
		return nil, 0, false
	}
	p := s.Pieces[0]
	id, from := transfer.RegionOf(p.Path)
	switch {
	case !into && p.DestOffset != 0, !from && (p.Offset != 0 || p.Length >= 0):
		return nil, 0, false // no copy says that
	case !from:
		return &xferv1.Source{Source: &xferv1.Source_Path{Path: &xferv1.PathSource{Path: []byte(p.Path)}}}, p.DestOffset, true
	}
	r := &xferv1.RegionSource{RegionId: id, Offset: p.Offset}
	if p.Length >= 0 {
		r.Length = new(p.Length)
	}
	return &xferv1.Source{Source: &xferv1.Source_Region{Region: r}}, p.DestOffset, true
}
