package rdmatest

import "github.com/xferd/xferd/rdma"

type linkMode uint8

const (
	linkPasses linkMode = iota
	linkDrops
	linkHolds
)

// Link is one direction between two devices: requests of the first to the
// second, and answers of the first to requests of the second. Dropped alone, it
// is the loss of acknowledgements for those who write the other way. A change
// holds for everything once its method has returned.
type Link struct {
	f        *Fabric
	from, to *Device

	// Guarded by f.mu.
	mode linkMode
	held []held
}

// held is a burst, with a copy of its payload, or an answer.
type held struct {
	burst  *burst
	answer answer
	dest   uint32
}

// Link returns the direction from one device to another, which may be the same.
func (f *Fabric) Link(from, to *Device) *Link {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := [2]*Device{from, to}
	l := f.links[key]
	if l == nil {
		l = &Link{f: f, from: from, to: to}
		f.links[key] = l
	}
	return l
}

// BlackHole drops everything between two devices, in both directions.
func (f *Fabric) BlackHole(a, b *Device) {
	f.Link(a, b).Drop()
	f.Link(b, a).Drop()
}

// Join ends a BlackHole.
func (f *Fabric) Join(a, b *Device) {
	f.Link(a, b).Pass()
	f.Link(b, a).Pass()
}

func (l *Link) set(m linkMode) (was []held) {
	l.f.settle(func() {
		was = l.held
		l.mode, l.held = m, nil
	})
	return was
}

// Drop loses everything from now on.
func (l *Link) Drop() { l.set(linkDrops) }

// Pass lets everything pass from now on. What was held is lost.
func (l *Link) Pass() { l.set(linkPasses) }

// Hold keeps everything from now on, as it left, until Release: packets that are
// still on their way when their sender gave up, or is gone. Reads are lost.
func (l *Link) Hold() { l.f.settle(func() { l.mode = linkHolds }) }

// Held is how many bursts and answers are held.
func (l *Link) Held() int {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	return len(l.held)
}

// Release lets everything pass from now on, beginning with what was held, in
// order. When it returns that has landed, where there was still something to
// land at.
func (l *Link) Release() {
	for _, h := range l.set(linkPasses) {
		l.f.mu.Lock()
		if h.burst != nil {
			l.f.travel(h.burst)
			continue
		}
		if l.to.alive() {
			l.to.take(h.dest, h.answer)
		}
		l.f.mu.Unlock()
	}
}

// keep holds a burst. f.mu is held.
func (l *Link) keep(b *burst) {
	if b.op == rdma.OpRead {
		return
	}
	kept := *b
	kept.local = pieces{}
	kept.local.add(nil, make([]byte, b.size))
	l.f.move(&kept.local, &b.local, int(b.size))
	l.held = append(l.held, held{burst: &kept})
}
