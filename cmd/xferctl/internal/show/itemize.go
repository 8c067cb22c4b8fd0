package show

import "strings"

// Item is the change of one entry, as --itemize shows it.
type Item struct {
	// Kind is rsync's letter: f file, d directory, L symlink, D device, S FIFO
	// or socket. Hardlink is set beside 'f' for a further name of a file.
	Kind     byte
	Hardlink bool
	Path     string
	Link     string // target of a symlink, or the name that a hardlink joins

	Deleted bool
	New     bool // it did not exist, or was of another type
	// Moved says that bytes of the file are sent, whatever differs: by default
	// another time alone is reason enough.
	Moved bool
	// What differs.
	Content, Size, Time, Perm, Owner, Group, ACL, Xattr bool
}

// Changed reports whether there is anything to show.
func (it Item) Changed() bool {
	return it.Deleted || it.New || it.Content || it.Size || it.Time || it.Perm || it.Owner || it.Group || it.ACL || it.Xattr
}

// String returns the line in rsync's format, eleven letters and the name:
// ">f+++++++++ name", ".f..tp..... name", "cd+++++++++ dir/", "*deleting   name".
func (it Item) String() string {
	name := Name(it.Path)
	if it.Kind == 'd' && name != "" && !strings.HasSuffix(name, "/") {
		name += "/"
	}
	if it.Deleted {
		return "*deleting   " + name
	}
	var b [11]byte
	b[0], b[1] = it.update(), it.Kind
	if it.New {
		copy(b[2:], "+++++++++")
	} else {
		for i, f := range []struct {
			set    bool
			letter byte
		}{{it.Content, 'c'}, {it.Size, 's'}, {it.Time, 't'}, {it.Perm, 'p'}, {it.Owner, 'o'}, {it.Group, 'g'}, {}, {it.ACL, 'a'}, {it.Xattr, 'x'}} {
			b[2+i] = '.'
			if f.set {
				b[2+i] = f.letter
			}
		}
	}
	line := string(b[:]) + " " + name
	switch {
	case it.Link == "":
	case it.Hardlink:
		line += " => " + Name(it.Link)
	default:
		line += " -> " + Name(it.Link)
	}
	return line
}

// update is the first letter: '>' bytes of a file are moved, 'h' a further name
// is made, 'c' something without bytes is made or changed, '.' only metadata.
func (it Item) update() byte {
	switch {
	case it.Hardlink && (it.New || it.Content):
		return 'h'
	case it.Kind == 'f' && (it.New || it.Content || it.Size || it.Moved):
		return '>'
	case it.New || it.Kind != 'd' && it.Content:
		return 'c'
	}
	return '.'
}
