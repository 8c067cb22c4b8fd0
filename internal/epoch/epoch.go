// Package epoch remembers which epoch of a transfer is the newest, so that a
// transport can refuse older ones. What an epoch means is for others to say.
package epoch

// remembered is the number of transfers without an open edge that are kept.
const remembered = 4096

// Book is the memory of one transport. The zero value is ready. It is not safe
// for concurrent use.
type Book struct {
	seen map[[16]byte]*entry
	old  [][16]byte // transfers without an open edge, longest ago first
}

type entry struct {
	highest uint64
	open    int
	listed  bool // in old
}

// Open notes an edge of the transfer. It returns the newest epoch, and false
// when that is higher than the one given; the edge is not noted then. Every edge
// that was noted is closed with Close.
func (b *Book) Open(uid [16]byte, epoch uint64) (newest uint64, ok bool) {
	e := b.seen[uid]
	if e == nil {
		e = &entry{}
		if b.seen == nil {
			b.seen = map[[16]byte]*entry{}
		}
		b.seen[uid] = e
	}
	if epoch < e.highest {
		return e.highest, false
	}
	e.highest = epoch
	e.open++
	return epoch, true
}

// Newest reports whether no higher epoch of the transfer is known.
func (b *Book) Newest(uid [16]byte, epoch uint64) bool {
	e := b.seen[uid]
	return e == nil || epoch >= e.highest
}

// Close ends an edge. The epoch stays known until many other transfers came.
func (b *Book) Close(uid [16]byte) {
	e := b.seen[uid]
	e.open--
	if e.open > 0 || e.listed {
		return
	}
	e.listed = true
	b.old = append(b.old, uid)
	for len(b.old) > remembered {
		uid := b.old[0]
		b.old = b.old[1:]
		if e := b.seen[uid]; e.open > 0 {
			e.listed = false // it is listed again when its edge closes
		} else {
			delete(b.seen, uid)
		}
	}
}
