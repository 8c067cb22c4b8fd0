package lifecycle

import "slices"

// network delivers, loses and doubles what is under way. The messages of one
// stream come in their order; streams, and data, overtake each other.
func (m *model) network(w world, yield yield) {
	for i, g := range w.net {
		if g.kind == 0 || i > 0 && g == w.net[i-1] || !w.isNext(g) {
			continue
		}
		to := w
		to.take(i)
		if w.left.cuts > 0 {
			lost := to
			lost.left.cuts--
			if g.kind == mData {
				m.data(&lost, g, false)
			}
			yield(loses[g.kind], lost)
		}
		switch {
		case g.kind == mData:
			m.data(&to, g, true)
		case g.kind >= mOpened:
			m.hear(&to, g)
		case g.kind != mOpen:
			m.told(&to, g)
		case to.target.up && !m.open(&to, g):
			edge := to.target.edge
			to = w // it waits
			to.target.edge = edge
		}
		yield(delivers[g.kind], to)
		if g.kind == mOpen && w.left.doubles > 0 && to.target.edge.epoch == g.epoch {
			to.left.doubles--
			g.arg = copied
			if to.send(g) {
				yield("Open arrives, and will again", to)
			}
		}
	}
}

// opens says whether an Open is under way.
func (w *world) opens(epoch uint8) bool {
	return slices.ContainsFunc(w.net[:], func(g message) bool { return g.kind == mOpen && g.epoch == epoch && g.arg != copied })
}

// copied marks an Open that comes again, on a stream that nobody listens to.
const copied = 1

// complete marks a Finished: all was done that Finish asks for.
const complete = 1

// isNext says whether a message may arrive now.
func (w *world) isNext(g message) bool {
	e, a := &w.target.edge, &w.owner.try
	switch {
	case g.kind == mOpen || g.kind == mData:
		return true
	case g.kind >= mOpened:
		return a.in == g.number
	}
	return e.epoch == g.epoch && e.in == g.number
}

// forget takes messages away that can do nothing any more, whatever happens: their
// stream has ended at who would hear them.
func (w *world) forget() {
	e, a := &w.target.edge, &w.owner.try
	left := false
	for i, g := range w.net {
		gone := false
		switch {
		case g.kind == 0 || g.kind == mOpen || g.kind == mData:
		case g.kind >= mOpened:
			gone = a.epoch != g.epoch || a.phase == over || a.phase == judged
		case e.epoch == g.epoch:
			gone = e.phase >= resting || g.number < e.in
		default:
			gone = !w.opens(g.epoch)
		}
		if gone {
			w.net[i] = message{}
			left = true
		}
	}
	if left {
		w.sortNet()
	}
}

var delivers, loses = labels("arrives"), labels("is lost")

func labels(what string) (all [len(messageNames)]string) {
	for i, name := range messageNames {
		all[i] = name + " " + what
	}
	return all
}

// steps is everything that may happen next.
func (m *model) steps(w world, yield yield) {
	if !m.oldEpochs {
		next := yield
		yield = func(what string, to world) {
			to.forget()
			next(what, to)
		}
	}
	m.people(w, yield)
	m.ownerRuns(w, yield)
	m.targetRuns(w, yield)
	m.network(w, yield)
	if w.left.changes > 0 {
		w.left.changes--
		w.src++
		yield("the source changes", w)
	}
}
