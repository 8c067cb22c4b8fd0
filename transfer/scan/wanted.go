package scan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// wanted is a FilesFrom list as a tree: a name with all set is taken whole,
// others only for what is wanted below them. The list is part of the spec, so
// the tree is bounded like it.
type wanted struct {
	all  bool
	kids map[string]*wanted
}

func parseWanted(list []string) (*wanted, error) {
	top := &wanted{}
	for _, line := range list {
		w := top
		if strings.HasPrefix(line, "/") {
			return nil, fmt.Errorf("file list: %q is not relative to the source", line)
		}
		for name := range strings.SplitSeq(line, "/") {
			if name == "" || name == "." {
				continue // doubled and trailing slashes, a leading "./"
			}
			if err := fsroot.CheckName(name); err != nil {
				return nil, fmt.Errorf("file list: %q: %w", line, err)
			}
			kid := w.kids[name]
			if kid == nil {
				kid = &wanted{}
				if w.kids == nil {
					w.kids = make(map[string]*wanted)
				}
				w.kids[name] = kid
			}
			w = kid
		}
		w.all = true
	}
	return top, nil
}

// readWanted yields the names of d that are wanted.
func (s *Scanner) readWanted(d *Dir, dir *fsroot.Dir) error {
	for _, name := range slices.Sorted(maps.Keys(d.only.kids)) {
		if _, err := dir.Lstat(name); err != nil {
			e := s.failure(err, Place{Dir: d, Name: name})
			if vanished(err) {
				e.Reason = transfer.SourceNotFound
			}
			s.totals.Failed++
			s.noEntry(d.Path(name), 0, transfer.OutcomeFailed, e)
			continue
		}
		if err := s.name(d, dir, name, 0, d.only.kids[name]); err != nil {
			return err
		}
	}
	return nil
}
