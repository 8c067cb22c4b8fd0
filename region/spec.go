package region

import (
	"fmt"
	"slices"
	"time"
)

// Everybody stands in a list of readers or writers for all who may call the node.
const Everybody = "*"

// Bounds of a [Spec].
const (
	PageSize   = 4096 // sizes are multiples of it, whatever the machine's pages are
	MaxSize    = 1 << 46
	DefaultTTL = time.Minute
	MaxTTL     = 366 * 24 * time.Hour

	maxPrincipals = 64
	maxLabels     = 64
	maxText       = 256
)

// Spec is what a region is made of.
type Spec struct {
	ID        string
	Principal string // the owner
	Size      int64  // bytes; a multiple of PageSize and of HugePages
	HugePages int64  // bytes of a huge page; 0: ordinary pages
	NUMANode  *int   // where its pages are, nil: anywhere
	// Foreign: the memory is a program's own, which offers it later.
	Foreign          bool
	Readers, Writers []string // principals beside the owner
	Labels           map[string]string
	// TTL is how long the region lives while nobody is attached; 0: DefaultTTL.
	TTL time.Duration
}

// State is where a region is in its life.
type State uint32

// The numbers are those of the notice page.
const (
	Ready       State = 1 // its memory is here
	Detached    State = 2 // its memory is not here: it can be offered (again)
	Deleting    State = 3 // those who use it are ending; then it is gone
	Quarantined State = 4 // its memory could not be fenced: nobody can use it
)

// String is for logs and for people.
func (s State) String() string {
	switch s {
	case Ready:
		return "ready"
	case Detached:
		return "detached"
	case Deleting:
		return "deleting"
	case Quarantined:
		return "quarantined"
	}
	return fmt.Sprintf("state %d", uint32(s))
}

// Info is what a region is like at a moment. What it refers to is the caller's.
type Info struct {
	Spec
	UID        [16]byte
	State      State
	Detail     string // why it is quarantined, or what it waits for while detached; for people
	Created    time.Time
	Expires    time.Time // when the lease ends; zero while it does not run
	Generation uint64
	OpenWrites int
	Torn       []Range // by offset; written in part by transfers that did not end well
	Attached   int     // connections
	Pinned     int64   // bytes that are registered with devices now, once for each
}

// CheckID reports whether a region may have the name:
// [A-Za-z0-9][A-Za-z0-9._-]{0,127}.
func CheckID(id string) bool {
	if id == "" || len(id) > 128 || id[0] == '.' || id[0] == '_' || id[0] == '-' {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// check returns the first mistake, and sets defaults.
func (s *Spec) check() error {
	wrong := func(field, format string, args ...any) error {
		return &Error{Kind: ErrInvalid, ID: s.ID, Field: field, Err: fmt.Errorf(format, args...)}
	}
	page := max(s.HugePages, PageSize)
	switch {
	case !CheckID(s.ID):
		return &Error{Kind: ErrInvalid, Field: "region_id", Err: fmt.Errorf("%.200q is no name of a region: letters, digits and . _ - after a letter or digit, 128 at most", s.ID)}
	case s.HugePages < 0 || s.HugePages > 0 && (s.HugePages <= PageSize || s.HugePages&(s.HugePages-1) != 0):
		return wrong("region.page_size", "%d is no size of huge pages", s.HugePages)
	case s.Size <= 0:
		return wrong("region.size_bytes", "a region has at least one page, not %d bytes", s.Size)
	case s.Size > MaxSize:
		return wrong("region.size_bytes", "%d bytes are more than any region may have (%d)", s.Size, int64(MaxSize))
	case s.Size%page != 0:
		return wrong("region.size_bytes", "%d is not a multiple of the page size, %d", s.Size, page)
	case s.NUMANode != nil && (*s.NUMANode < 0 || *s.NUMANode >= maxNUMANodes):
		return wrong("region.numa_node", "there is no NUMA node %d", *s.NUMANode)
	case s.Foreign && (s.HugePages != 0 || s.NUMANode != nil):
		return wrong("region.foreign", "the pages of foreign memory are the program's to choose")
	case s.TTL < 0 || s.TTL > MaxTTL || s.TTL > 0 && s.TTL < time.Second:
		return wrong("region.ttl", "%v is not from 1s to %v", s.TTL, MaxTTL)
	}
	if s.TTL == 0 {
		s.TTL = DefaultTTL
	}
	for field, list := range map[string][]string{"region.readers": s.Readers, "region.writers": s.Writers} {
		if len(list) > maxPrincipals {
			return wrong(field, "%d principals, the limit is %d", len(list), maxPrincipals)
		}
		for _, p := range list {
			if p == "" || len(p) > maxText {
				return wrong(field, "a principal has 1 to %d bytes", maxText)
			}
		}
	}
	return s.checkLabels(wrong)
}

func (s *Spec) checkLabels(wrong func(field, format string, args ...any) error) error {
	if len(s.Labels) > maxLabels {
		return wrong("region.labels", "%d labels, the limit is %d", len(s.Labels), maxLabels)
	}
	for k, v := range s.Labels {
		if k == "" || len(k) > maxText || len(v) > maxText {
			return wrong("region.labels", "a label's key has 1 to %d bytes, its value at most as many", maxText)
		}
	}
	return nil
}

func (s *Spec) mayWrite(principal string) bool {
	return principal == s.Principal || has(s.Writers, principal)
}

// mayRead: who may write may read.
func (s *Spec) mayRead(principal string) bool {
	return s.mayWrite(principal) || has(s.Readers, principal)
}

func has(list []string, principal string) bool {
	return slices.Contains(list, principal) || slices.Contains(list, Everybody)
}
