package transfer

import "time"

// Submission is one call to submit.
type Submission struct {
	// ID is the caller's choice, or made for it; never empty, valid by [CheckID].
	ID string
	// Spec is complete: defaults are filled in and Principal is set.
	Spec Spec
	// Same is equal for two submissions that ask for the same: a hash of the
	// request as it was received, before defaults, without priority, rate,
	// deadline and labels. It is kept as long as the id is remembered.
	Same [32]byte
}

// Plan is the answer to a submission that is only to be validated: what the
// owner and the target would do.
type Plan struct {
	Transport string // that would be tried first
	Reason    string // why not a better one; empty where it is the best
	Resolved  string // the destination as the target resolved it
	FreeBytes int64  // at the destination
	Streams   int
	Verify    string
}

// Mark is a point in the life of one owner's transfers. Revisions of different
// states (a restored backup) can not be compared.
type Mark struct {
	State    string // the owner's state uuid
	Revision uint64
}

// Query selects transfers. Its zero value selects all that this node owns.
type Query struct {
	// Incoming selects those of which this node is the target and another node
	// the owner, instead of those that it owns.
	Incoming  bool
	ID        string            // this one only, when set
	Principal string            // submitted by this one only, when set
	States    []State           // in one of these, when any
	Labels    map[string]string // that have all of these
}

// Match reports whether a transfer is selected, Incoming aside.
func (q *Query) Match(t *Transfer) bool {
	if q.ID != "" && t.ID != q.ID || q.Principal != "" && t.Spec.Principal != q.Principal {
		return false
	}
	for k, v := range q.Labels {
		if have, ok := t.Spec.Labels[k]; !ok || have != v {
			return false
		}
	}
	if len(q.States) == 0 {
		return true
	}
	for _, s := range q.States {
		if t.State == s {
			return true
		}
	}
	return false
}

// Position is a place in the order of a list: by time of creation, then by uid.
type Position struct {
	Created time.Time
	UID     UID
}

// PositionOf returns the place of t.
func PositionOf(t *Transfer) Position { return Position{Created: t.Created, UID: t.UID} }

// Less orders positions. The zero one is before all.
func (p Position) Less(q Position) bool {
	if !p.Created.Equal(q.Created) {
		return p.Created.Before(q.Created)
	}
	return string(p.UID[:]) < string(q.UID[:])
}

// EntryQuery selects results of a transfer's entries.
type EntryQuery struct {
	Outcomes []Outcome // one of these, when any
	Lost     bool      // only those of which something could not be preserved
}

// Match reports whether a result is selected.
func (q *EntryQuery) Match(r *Result) bool {
	if q.Lost && r.Lost == 0 {
		return false
	}
	if len(q.Outcomes) == 0 {
		return true
	}
	for _, o := range q.Outcomes {
		if r.Outcome == o {
			return true
		}
	}
	return false
}

// Update changes what may be changed of a transfer that is not over. What is
// nil stays.
type Update struct {
	Priority *Priority
	MaxRate  *int64             // bytes per second; 0: no limit
	Deadline *time.Time         // zero: none
	Labels   *map[string]string // all of them
}

// Limits of names and labels.
const (
	MaxIDLength    = 128 // bytes
	MaxLabels      = 64
	MaxLabelLength = 256 // bytes, of a key and of a value
)

// CheckID reports whether id can name a transfer: 1 to MaxIDLength of the
// characters A-Z a-z 0-9 . _ : + ~ -, the first a letter or digit.
func CheckID(id string) bool {
	if id == "" || len(id) > MaxIDLength {
		return false
	}
	for i := 0; i < len(id); i++ {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == ':' || c == '+' || c == '~' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// CheckNodeID reports whether id can name a node: 1 to 63 of the characters
// a-z A-Z 0-9 . _ -, the first and the last a letter or digit. (A colon would
// make node:/path ambiguous.)
func CheckNodeID(id string) bool {
	if id == "" || len(id) > 63 {
		return false
	}
	for i := 0; i < len(id); i++ {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && i < len(id)-1 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}
