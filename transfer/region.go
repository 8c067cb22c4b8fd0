package transfer

import "strings"

// A memory region stands in a path as "@" and its id: paths of files begin with
// a slash, so the two cannot be mistaken for each other.
const regionMark = "@"

// MaxRegionID is the length of a region's id, in bytes.
const MaxRegionID = 128

// RegionOf returns the id of the region that a path names, and false for the path
// of a file. The id need not be valid.
func RegionOf(path string) (id string, ok bool) { return strings.CutPrefix(path, regionMark) }

// RegionPath is the path that names a region.
func RegionPath(id string) string { return regionMark + id }

// CheckRegionID reports whether id can name a region: 1 to MaxRegionID of the
// characters A-Z a-z 0-9 . _ -, the first a letter or digit.
func CheckRegionID(id string) bool {
	if id == "" || len(id) > MaxRegionID {
		return false
	}
	for i := 0; i < len(id); i++ {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// IntoRegion reports whether the bytes go into a region, and into which.
func (s *Spec) IntoRegion() (id string, ok bool) { return RegionOf(s.Dest) }

// FromRegions reports whether any of the bytes come from a region.
func (s *Spec) FromRegions() bool {
	for i := range s.Pieces {
		if _, ok := RegionOf(s.Pieces[i].Path); ok {
			return true
		}
	}
	return false
}
