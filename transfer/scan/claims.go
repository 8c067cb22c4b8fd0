package scan

import (
	"fmt"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/transfer"
)

// claims are the names at the destination that have an entry, by their hash. They
// are kept only where two sources may have the same ones: of several, one gives
// its contents and not its own name.
type claims map[xxh3.Uint128]claim

type claim struct {
	root int            // the source that came first
	meta *transfer.Meta // of a directory
}

func newClaims(roots []root) claims {
	for i := range roots {
		if len(roots) > 1 && roots[i].source.Contents {
			return claims{}
		}
	}
	return nil
}

// take gives an entry its name at the destination. Directories of one name
// become one, with the metadata of the first, so that the same command run again
// finds nothing to do. Of anything else the first has the name, and the second is
// refused.
func (s *Scanner) take(f *Found) *transfer.Error {
	if s.claims == nil || !s.spec.Preserve.Asks(f.Kind) {
		return nil
	}
	path := f.Path()
	key := xxh3.HashString128(path)
	first, taken := s.claims[key]
	isDir := f.Kind == transfer.KindDir
	switch {
	case !taken:
		c := claim{root: s.root}
		if isDir {
			meta := f.Meta
			c.meta = &meta
		}
		s.claims[key] = c
		return nil
	case isDir && first.meta != nil:
		f.Meta = *first.meta
		return nil
	}
	return &transfer.Error{
		Reason: transfer.InvalidSpec, Side: transfer.SideSource, Phase: transfer.PhaseScan, Node: s.cfg.Node, Path: s.roots[s.root].under(path),
		Err:  fmt.Errorf("two sources have the name %q: %s came first", path, transfer.EscapePath(s.roots[first.root].under(path))),
		Hint: "copy them to different directories, or leave one of them out",
	}
}

// under is where a path at the destination is in the source.
func (r *root) under(path string) string {
	if r.destName != "" {
		path = strings.TrimPrefix(strings.TrimPrefix(path, r.destName), "/")
	}
	if path == "" {
		return r.source.Path
	}
	return strings.TrimSuffix(r.source.Path, "/") + "/" + path
}

// refuse tells of an entry that cannot have its name, with all that is in it.
func (s *Scanner) refuse(f *Found, err *transfer.Error) error {
	s.totals.Failed++
	s.noEntry(f.Path(), f.Kind, transfer.OutcomeFailed, err)
	return nil
}
