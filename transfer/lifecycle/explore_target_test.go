package lifecycle

import "github.com/xferd/xferd/transfer"

// targetRuns are the steps of the target by itself.
func (m *model) targetRuns(w world, yield yield) {
	t := &w.target
	if !t.up {
		to := w
		m.recover(&to)
		yield("the target starts", to)
		return
	}
	if w.left.targetDeaths > 0 {
		to := w
		to.left.targetDeaths--
		to.target.up, to.target.edge = false, edgeSide{}
		to.seen.came = 0
		yield("the target dies", to)
	}
	if t.edge.phase == noEdge {
		m.rest(w, yield)
		return
	}
	gone := w.owner.try.epoch != t.edge.epoch || w.owner.try.phase >= over // it is only to be noticed
	if t.edge.phase < resting && (gone || w.left.cuts > 0) {
		to := w
		if !gone {
			to.left.cuts--
		}
		to.target.edge.phase, to.target.edge.how = resting, howLost
		to.seen.came = 0
		yield("the target loses the stream", to)
	}
	switch t.edge.phase {
	case serving:
		if t.edge.how == howFinishing {
			to := w
			to.target.edge.phase, to.target.edge.how = resting, howFinished
			yield("the metadata of the directory is done", to)
			return
		}
		m.publish(w, yield)
	default:
		m.end(w, yield)
	}
}

// answer sends a message to the owner.
func (w *world) answer(g message) bool {
	e := &w.target.edge
	g.epoch, g.number = e.epoch, e.out
	e.out++
	return w.send(g)
}

// publish takes the file one step further: COMMITTING, the rename, COMMITTED.
func (m *model) publish(w world, yield yield) {
	to, e := w, &w.target.edge
	n := &to.target.edge
	switch e.entry {
	case receiving:
		if !w.temp.complete() || !e.done && !m.hasty {
			return
		}
		n.entry = committing
		yield("COMMITTING", to)
	case committing:
		n.entry = renamed
		to.final, to.temp = w.temp.ext, file{}
		to.seen.file = true
		if a := &w.owner.try; a.epoch == e.epoch && a.phase < releasing { // it is going to hear of it
			to.seen.came = e.epoch
		}
		to.seen.stole = to.seen.stole || w.seen.late || w.stranger == strangerHolds || w.stranger == strangerPublished
		yield("rename", to)
	case renamed:
		n.entry = answered
		to.target.unsettled = false
		if to.answer(message{kind: mResult, arg: came}) {
			yield("COMMITTED, report", to)
		}
	}
}

// end is edge.end and leaveBehind, step by step.
func (m *model) end(w world, yield yield) {
	e := &w.target.edge
	if e.entry == committing || e.entry == renamed || e.how != howCancelled && e.how != howPurged && e.entry == receiving && e.done && w.temp.complete() {
		m.publish(w, yield) // what was begun, or nobody said that it is not wanted
		return
	}
	to := w
	t := &to.target
	n := &t.edge
	switch e.phase {
	case resting:
		if e.entry == answered && (e.how == howCancelled || e.how == howPurged) && !m.leavesWhole {
			n.how = howFinished
			yield("nothing is left to stop: it comes to its end", to)
			return
		}
		if w.temp.on && w.temp.ext != [2]uint8{} && e.how != howFinished && e.how != howPurged {
			to.part = w.temp
			to.part.made = t.made || w.part.made
		}
		to.temp = file{}
		if m.cleanFinal && e.how == howCancelled {
			to.final = [2]uint8{}
		}
		n.phase = settling
		yield("keep the partial or remove the temp", to)
	case settling:
		t.unsettled = false
		if e.how == howPurged || e.how == howFinished {
			t.made = t.made || w.part.made && !(m.losesDirs && e.how == howFinished)
			to.part = file{}
		}
		switch e.how {
		case howLost:
			*n = edgeSide{}
		case howPaused:
			to.seen.came = 0 // a cancel of what was paused looks no further
			m.over(&to)
		default:
			n.phase = removing
		}
		yield("settle the journal", to)
	case removing:
		if e.how != howFinished || e.bad {
			m.removeDirs(&to)
		}
		n.phase = unlocking
		yield("remove empty directories", to)
	case unlocking:
		t.lock = m.cancelsLate && e.how == howCancelled
		t.made = false
		m.over(&to)
		yield("let the destination go", to)
	}
}

// over says Finished, as far as it gets.
func (m *model) over(w *world) {
	end := message{kind: mFinished}
	if w.target.edge.how == howFinished {
		end.arg = complete
	}
	w.answer(end)
	w.target.edge = edgeSide{}
}

// removeDirs is removeMadeDirs.
func (m *model) removeDirs(w *world) {
	switch {
	case !w.target.made || m.keepDirs:
	case w.part.on: // they go with it
		w.part.made = true
	case !w.temp.on && w.final[0] == 0:
		w.dir = false
	}
	w.target.made = false
}

// recover is Receiver.recover.
func (m *model) recover(w *world) {
	t := &w.target
	t.up = true
	if t.unsettled && !m.keepStrays {
		if w.temp.on && w.temp.ext != [2]uint8{} {
			made := w.part.made
			w.part = w.temp
			w.part.made = made
		}
		w.temp = file{}
		t.unsettled = false
	}
	if !t.lock { // its journal goes
		t.made = false
	}
}

// rest is what time does where no edge is: orphans lapse, partials are swept,
// strangers come.
func (m *model) rest(w world, yield yield) {
	t := &w.target
	if t.lock && w.left.lapses > 0 {
		to := w
		to.left.lapses--
		m.removeDirs(&to)
		to.target.lock, to.target.gone = false, lapsed
		yield("the lock lapses", to)
	}
	if w.part.on && w.left.sweeps > 0 {
		to := w
		to.left.sweeps--
		to.part = file{}
		switch {
		case !w.part.made || m.keepDirs:
		case t.lock: // its holder may need them
			to.target.made = true
		case w.final[0] == 0:
			to.dir = false
		}
		yield("the partial is swept", to)
	}
	to := w
	switch {
	case w.stranger == 0 && w.left.strangers > 0 && !t.lock:
		to.left.strangers--
		to.stranger = strangerHolds
		if t.gone == lapsed {
			to.target.gone, to.seen.late = overtaken, true
		}
		yield("a stranger takes the destination", to)
	case w.stranger == strangerHolds:
		to.stranger = strangerPublished
		to.dir, to.final, to.seen.file = true, [2]uint8{strangerIs, strangerIs}, true
		yield("the stranger publishes", to)
	case w.stranger == strangerPublished:
		to.stranger = strangerGone
		yield("the stranger lets go", to)
	}
}

// open is Receiver.open. It is false while the message has to wait for the end of
// the edge before.
func (m *model) open(to *world, g message) bool {
	t := &to.target
	e := &t.edge
	refuse := func(why uint8) {
		if g.arg != copied {
			to.send(message{kind: mRefused, epoch: g.epoch, arg: why})
		}
	}
	switch {
	case g.epoch <= t.epoch && !m.oldEpochs:
		refuse(endedStale)
	case t.gone == overtaken && !m.forgetsLapse:
		refuse(endedGone)
	case (to.stranger == strangerHolds || to.stranger == strangerPublished) && !m.noLock:
		refuse(endedBusy)
	case e.phase != noEdge && e.phase < resting:
		e.phase, e.how = resting, howLost
		return false
	case e.phase != noEdge:
		return false
	default:
		t.lock, t.gone, t.epoch = true, 0, max(g.epoch, t.epoch)
		*e = edgeSide{phase: serving, epoch: g.epoch, in: 1}
		if !to.dir {
			to.dir, t.made = true, true
		}
		to.answer(message{kind: mOpened})
	}
	return true
}

// told is what a message of the owner does to the edge.
func (m *model) told(to *world, g message) {
	e := &to.target.edge
	if e.phase != serving || e.epoch != g.epoch || e.in != g.number {
		return
	}
	e.in++
	switch g.kind {
	case mEntry:
		m.entry(to, g.arg)
	case mRestart:
		if e.entry == receiving {
			to.temp = file{}
			e.done = false
			m.ask(to, file{on: true, print: g.arg})
		}
	case mDone:
		e.done = true
	case mGiveUp:
		to.temp, e.bad, e.entry = file{}, true, answered
		to.answer(message{kind: mResult, arg: failedToCome})
	case mFinish:
		e.how = howFinishing
	case mAbort:
		if e.how == howFinishing && transfer.End(g.arg) != transfer.EndPause && !m.leavesWhole {
			return // it comes too late
		}
		e.phase = resting
		e.how = map[transfer.End]uint8{transfer.EndPause: howPaused, transfer.EndCancel: howCancelled, transfer.EndPurge: howPurged}[transfer.End(g.arg)]
	}
}

// entry decides what is wanted of the file: nothing, the rest, or all.
func (m *model) entry(to *world, print uint8) {
	switch {
	case to.final == [2]uint8{print, print}:
		to.target.edge.entry = answered
		to.answer(message{kind: mResult, arg: came})
	case to.part.on && (to.part.print == print || m.anyPartial):
		f := to.part
		to.target.made = to.target.made || f.made && !m.losesDirs
		f.made = false
		to.part = file{}
		m.ask(to, f)
	default:
		m.ask(to, file{on: true, print: print})
	}
}

func (m *model) ask(to *world, f file) {
	to.temp = f
	to.target.unsettled, to.target.edge.entry = true, receiving
	var want uint8
	for i, v := range f.ext {
		if v == 0 {
			want |= 1 << i
		}
	}
	to.answer(message{kind: mAnswer, arg: want})
}

// data is an extent that arrives with its acknowledgement, or not. Where no session takes
// it, its sender sees the session end.
func (m *model) data(to *world, g message, arrives bool) {
	e := &to.target.edge
	a := &to.owner.try
	lands := arrives && e.phase == serving && (e.epoch == g.epoch || m.noFence) && e.entry == receiving && to.temp.on
	if lands {
		to.temp.ext[g.number] = g.arg
	}
	if to.owner.up && a.epoch == g.epoch && a.phase == working && a.sent[g.number] == underWay {
		a.sent[g.number] = unsent
		if lands {
			a.sent[g.number] = landed
		}
	}
}
