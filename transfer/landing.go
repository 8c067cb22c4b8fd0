package transfer

import "path"

// LandsAs is the name that a source gets in the destination. It is empty where the
// source becomes the destination itself, or gives its contents to it, and "/" for the
// root directory, which has no name to go by.
func (s *Spec) LandsAs(src *Source) string {
	if s.DestMode != DestInto || src.Contents {
		return ""
	}
	return path.Base(src.Path)
}

// Names are the names that everything of a copy lands under in the directory that
// it goes into, in the order of the sources. It is nil where only the sources can
// tell, as with the contents of one, and where the destination is not gone into.
func (s *Spec) Names() []string {
	if s.Mode != ModeCopy || s.DestMode != DestInto {
		return nil
	}
	names := make([]string, 0, len(s.Sources))
	for i := range s.Sources {
		name := s.LandsAs(&s.Sources[i])
		if name == "" || name == "/" {
			return nil
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil
	}
	return names
}
