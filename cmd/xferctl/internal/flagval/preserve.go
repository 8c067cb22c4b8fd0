package flagval

import (
	"fmt"
	"strings"
)

// Keep is a set of the properties that a copy keeps.
type Keep uint32

// The properties, in the order in which they are listed.
const (
	KeepMode Keep = 1 << iota
	KeepTimes
	KeepLinks
	KeepHardlinks
	KeepSparse
	KeepOwner // owner and group, by number
	KeepXattrs
	KeepACLs
	KeepDevices
	KeepSpecials

	KeepDefault = KeepMode | KeepTimes | KeepLinks | KeepHardlinks | KeepSparse
	KeepArchive = KeepDefault | KeepOwner | KeepXattrs | KeepACLs
	keepAll     = KeepArchive | KeepDevices | KeepSpecials
)

// keepNames are in the order of the bits.
var keepNames = []string{"mode", "times", "links", "hardlinks", "sparse", "owner", "xattrs", "acls", "devices", "specials"}

// KeepNames returns the words that --preserve takes, for completion.
func KeepNames() []string { return keepNames }

func (k Keep) String() string {
	var out []string
	for i, n := range keepNames {
		if k&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ",")
}

// Preserve is the value of --preserve.
type Preserve struct {
	text       string
	exact      bool
	set        Keep
	plus, less Keep
}

func (p *Preserve) String() string { return p.text }

// Type is what help shows for the value.
func (p *Preserve) Type() string { return "list" }

// Set parses a comma list. Plain names are all that is kept; "+name" and
// "no-name" add to and take from what would be kept otherwise. "all" and
// "none" are names too. The flag may be given again, which goes on from there.
func (p *Preserve) Set(text string) error {
	next := *p
	for word := range strings.SplitSeq(text, ",") {
		name, less := strings.CutPrefix(word, "no-")
		name, plus := strings.CutPrefix(name, "+")
		var bits Keep
		switch {
		case name == "all":
			bits = keepAll
		case name == "none" && !less && !plus:
		default:
			for i, n := range keepNames {
				if n == name {
					bits = 1 << i
				}
			}
			if bits == 0 || less && plus {
				return fmt.Errorf("%q is not one of %s, all, none (or with no- or + before it)", word, strings.Join(keepNames, ", "))
			}
		}
		switch {
		case less:
			next.less, next.plus = next.less|bits, next.plus&^bits
		case plus:
			next.plus, next.less = next.plus|bits, next.less&^bits
		default:
			next.exact, next.set = true, next.set|bits
		}
	}
	if next.text != "" {
		next.text += ","
	}
	next.text += text
	*p = next
	return nil
}

// Resolve returns what is kept: base is the default set, or that of -a.
func (p *Preserve) Resolve(base Keep) Keep {
	if p.exact {
		base = p.set
	}
	return (base | p.plus) &^ p.less
}
