package server

import (
	"bytes"
	"cmp"
	"math"
	"path"
	"slices"
	"strings"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// reservedPrefix begins the names of files under way.
const reservedPrefix = ".xferd."

// pathIn checks the form of an absolute path. There is one rule, and nothing is
// made clean silently.
func pathIn(field string, p []byte) (string, error) {
	bad := func(format string, args ...any) (string, error) {
		e := refuse(transfer.BadPath, field, format, args...)
		e.Path = string(p[:min(len(p), fsroot.MaxPath)])
		return "", e
	}
	switch {
	case len(p) == 0:
		return bad("the path is missing")
	case len(p) > fsroot.MaxPath:
		return bad("the path has %d bytes; at most %d may be", len(p), fsroot.MaxPath)
	case p[0] != '/':
		return bad("the path is not absolute")
	case len(p) == 1:
		return "/", nil
	case p[len(p)-1] == '/':
		return bad("the path ends with a slash")
	}
	return componentsIn(string(p), p[1:], bad)
}

// relativeIn checks the form of a path below a source.
func relativeIn(field string, p []byte) (string, error) {
	bad := func(format string, args ...any) (string, error) {
		e := refuse(transfer.BadPath, field, format, args...)
		e.Path = string(p[:min(len(p), fsroot.MaxPath)])
		return "", e
	}
	switch {
	case len(p) == 0:
		return bad("a path is empty")
	case len(p) > fsroot.MaxPath:
		return bad("a path has %d bytes; at most %d may be", len(p), fsroot.MaxPath)
	case p[0] == '/':
		return bad("a path is absolute; it has to be relative to the source")
	}
	return componentsIn(string(p), p, bad)
}

func componentsIn(whole string, p []byte, bad func(string, ...any) (string, error)) (string, error) {
	if bytes.IndexByte(p, 0) >= 0 {
		return bad("the path has a NUL byte")
	}
	depth := 0
	for c := range bytes.SplitSeq(p, []byte("/")) {
		depth++
		switch {
		case len(c) == 0:
			return bad("the path has an empty component")
		case string(c) == "." || string(c) == "..":
			return bad("the path has the component %q", c)
		case len(c) > fsroot.MaxName:
			return bad("a component has %d bytes; at most %d may be", len(c), fsroot.MaxName)
		case depth > fsroot.MaxDepth:
			return bad("the path has more than %d components", fsroot.MaxDepth)
		}
	}
	return whole, nil
}

// userPathIn is pathIn for a path that is to be copied from or to.
func userPathIn(field string, p []byte) (string, error) {
	s, err := pathIn(field, p)
	if err == nil && strings.Contains(s, "/"+reservedPrefix) {
		e := refuse(transfer.ReservedName, field, "names that begin with %q are kept for files under way", reservedPrefix)
		e.Path = s
		return "", e
	}
	return s, err
}

// endpointsIn checks and translates what is moved, and where to.
func endpointsIn(m *xferv1.TransferSpec, s *transfer.Spec) error {
	at, err := destinationIn(m, s)
	if err != nil {
		return err
	}
	if s.Mode == transfer.ModeAssemble {
		if err := piecesIn(m, s, at); err != nil {
			return err
		}
		return regionsIn(s)
	}
	if ok, err := regionCopyIn(m, s, at); ok || err != nil {
		return cmp.Or(err, regionsIn(s))
	}
	if m.GetPieces() != nil {
		return invalid("spec.pieces", "they are for assemble only")
	}
	for _, src := range m.GetSources() {
		p := src.GetPath()
		if p == nil {
			return invalid("spec.sources", "a source is empty")
		}
		name, err := userPathIn("spec.sources.path", p.GetPath())
		if err != nil {
			return err
		}
		s.Sources = append(s.Sources, transfer.Source{Path: name, Contents: p.GetContents()})
	}
	if err := countIn(s); err != nil {
		return err
	}
	for _, f := range m.GetFilesFrom() {
		if len(s.Sources) != 1 {
			return invalid("spec.files_from", "it needs exactly one source")
		}
		name, err := relativeIn("spec.files_from", f)
		if err != nil {
			return err
		}
		s.FilesFrom = append(s.FilesFrom, name)
	}
	return landingsIn(s)
}

// countIn checks how many sources there are.
func countIn(s *transfer.Spec) error {
	n := len(s.Sources)
	switch {
	case n == 0:
		return refuse(transfer.BadPath, "spec.sources", "there is no source")
	case s.Mode == transfer.ModeSync && (n > 1 || !s.Sources[0].Contents || s.DestMode != transfer.DestExact):
		return invalid("spec.sources", "a sync has one source with contents set, and the destination mode exact")
	case s.Mode == transfer.ModeVerify && n > 1:
		return invalid("spec.sources", "a verification has one source")
	case n > 1 && s.DestMode != transfer.DestInto:
		return invalid("spec.destination.mode", "several sources need INTO_DIR")
	}
	return nil
}

// landingsIn checks where each source lands: not on itself, not inside itself,
// and no two under one name. Paths are compared as they are written; what links
// make of them is found out when they are resolved.
func landingsIn(s *transfer.Spec) error {
	names := map[string]bool{}
	for _, src := range s.Sources {
		landing := s.Dest
		if name := s.LandsAs(&src); name != "" {
			if name == "/" {
				return refuse(transfer.BadPath, "spec.sources.path", "%q has no name to land under; set contents", src.Path)
			}
			if names[name] {
				return invalid("spec.sources", "two sources would land as %q", transfer.EscapePath(name))
			}
			names[name] = true
			landing = path.Join(s.Dest, name)
		}
		if s.Source != s.Target {
			continue
		}
		switch {
		case landing == src.Path:
			return placed(refuse(transfer.SameFile, "spec.destination.path", "it is the source"), landing)
		case inside(landing, src.Path):
			return placed(refuse(transfer.DestInsideSource, "spec.destination.path", "it lies inside the source"), landing)
		case inside(src.Path, landing) && (s.Mode == transfer.ModeSync || s.Force):
			return placed(refuse(transfer.SameFile, "spec.sources.path", "the source lies inside of what the destination replaces"), landing)
		}
	}
	return nil
}

func placed(e *transfer.Error, p string) *transfer.Error {
	e.Path = p
	return e
}

// inside reports whether p lies below dir.
func inside(p, dir string) bool {
	return dir == "/" && p != "/" || strings.HasPrefix(p, dir+"/")
}

// piecesIn checks and translates the columns of an assembled file, or of what goes
// into a region from at on.
func piecesIn(m *xferv1.TransferSpec, s *transfer.Spec, at int64) error {
	c := m.GetPieces()
	n := len(c.GetPathIndex())
	switch {
	case len(m.GetSources()) > 0 || len(m.GetFilesFrom()) > 0:
		return invalid("spec.sources", "an assembled file is made of pieces")
	case s.DestMode != transfer.DestExact:
		return invalid("spec.destination.mode", "an assembled file has an exact destination")
	case n == 0:
		return invalid("spec.pieces", "there are none")
	case n > maxPieces:
		return invalid("spec.pieces", "there are %d; at most %d may be", n, maxPieces)
	case len(c.GetOffset()) != n, len(c.GetLength()) != n, len(c.GetDestOffset()) != n:
		return invalid("spec.pieces", "the columns differ in length")
	}
	paths := make([]string, len(c.GetPaths()), len(c.GetPaths())+len(c.GetRegions()))
	for i, p := range c.GetPaths() {
		var err error
		if paths[i], err = userPathIn("spec.pieces.paths", p); err != nil {
			return err
		}
		if s.Source == s.Target && paths[i] == s.Dest {
			return placed(refuse(transfer.SameFile, "spec.destination.path", "it is one of the pieces"), s.Dest)
		}
	}
	for _, id := range c.GetRegions() {
		p, err := regionIn("spec.pieces.regions", id)
		if err != nil {
			return err
		}
		paths = append(paths, p)
	}
	s.Pieces = make([]transfer.Piece, n)
	for i := range n {
		k, off, length, dest := c.GetPathIndex()[i], c.GetOffset()[i], c.GetLength()[i], c.GetDestOffset()[i]
		switch {
		case int64(k) >= int64(len(paths)):
			return invalid("spec.pieces.path_index", "%d is past the %d paths and regions", k, len(paths))
		case off < 0, dest < 0:
			return invalid("spec.pieces", "piece %d has a negative offset", i)
		case length < -1:
			return invalid("spec.pieces.length", "%d is neither a length nor -1", length)
		case length > math.MaxInt64-off, dest > math.MaxInt64-at, length > math.MaxInt64-at-dest:
			return invalid("spec.pieces.length", "piece %d ends past 2^63", i)
		}
		s.Pieces[i] = transfer.Piece{Path: paths[k], Offset: off, Length: length, DestOffset: at + dest}
	}
	return disjoint(s.Pieces)
}

// disjoint refuses pieces that overlap at the destination. Empty ones are
// nowhere: a merge has partitions without a record.
func disjoint(pieces []transfer.Piece) error {
	full := slices.DeleteFunc(slices.Clone(pieces), func(p transfer.Piece) bool { return p.Length == 0 })
	sorted := slices.SortedFunc(slices.Values(full), func(a, b transfer.Piece) int { return cmp.Compare(a.DestOffset, b.DestOffset) })
	for i := 1; i < len(sorted); i++ {
		a, b := sorted[i-1], sorted[i]
		if a.Length < 0 && a.DestOffset != b.DestOffset {
			return invalid("spec.pieces.length", "-1 is for the last piece of the destination only")
		}
		if a.Length < 0 || a.DestOffset+a.Length > b.DestOffset {
			return invalid("spec.pieces.dest_offset", "two pieces overlap at %d", b.DestOffset)
		}
	}
	return nil
}
