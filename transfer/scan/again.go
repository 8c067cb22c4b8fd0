package scan

import (
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// Fingerprint returns the fingerprint that the source of a file has now. For an
// assembled file it is the first that differs from those that were found, in
// which case it differs from the entry's as well.
func (s *Scanner) Fingerprint(f *Found) (transfer.Fingerprint, error) {
	if f.Assembly == nil {
		info, err := s.cfg.Dirs.Stat(f.At)
		if err != nil {
			return transfer.Fingerprint{}, err
		}
		return PrintOf(&info), nil
	}
	for i := range f.Assembly.Files {
		file := &f.Assembly.Files[i]
		if file.Region != nil {
			if now := PrintOfRegion(file.Region); now != file.Print {
				return now, nil
			}
			continue
		}
		info, err := s.cfg.Dirs.Stat(file.At)
		if err != nil {
			return transfer.Fingerprint{}, err
		}
		if now := PrintOf(&info); now != file.Print {
			return now, nil
		}
	}
	return f.Print, nil
}

// Again describes the file of an entry as it is now, under the same number and
// name. It fails when there is no regular file any more.
func (s *Scanner) Again(f *Found) (Found, error) {
	g := *f
	g.Lost, g.Meta = 0, transfer.Meta{}
	if f.Assembly != nil {
		return g, s.refreshAssembly(&g, transfer.PhaseRead, nil)
	}
	info, err := s.cfg.Dirs.Stat(f.At)
	if err != nil {
		return g, err
	}
	if info.Kind != fsroot.Regular {
		return g, fsroot.ErrNotRegular
	}
	fill(&g.Entry, &info, s.spec.Preserve)
	s.readXattrs(&g)
	return g, nil
}
