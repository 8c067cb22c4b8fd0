package lifecycle

import (
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
)

// step is job.step: the machine, then the store, then the show.
func (m *model) step(w *world, on event, result transfer.State) bool {
	o := &w.owner
	to, err := next(stateOf(o.mem.state), on, result)
	if err != nil {
		return false
	}
	o.mem.state = numberOf(to)
	if m.showFirst && to.Terminal() {
		w.seen.state = o.mem.state
		return true
	}
	m.store(w)
	return true
}

func (m *model) store(w *world) {
	o := &w.owner
	o.disk = o.mem
	if stateOf(o.disk.state).Terminal() {
		w.seen.state = o.disk.state
	}
}

// job is the real one with what decides of it.
func (o *ownerSide) job() *job {
	return &job{t: transfer.Transfer{State: stateOf(o.mem.state), Epoch: uint64(o.mem.epoch)}, purge: o.mem.purge, holds: o.mem.holds}
}

// tellEdge is job.stopLocked.
func (o *ownerSide) tellEdge() {
	switch o.try.phase {
	case opening, working, finishing:
		if o.try.asked == 0 {
			o.try.asked = o.job().endLocked()
		}
	}
}

// ownerRuns are the steps of the owner by itself.
func (m *model) ownerRuns(w world, yield yield) {
	o := &w.owner
	switch {
	case !o.up:
		to := w
		to.owner.load()
		if m.losesHolds {
			to.owner.mem.holds = false
		}
		yield("the owner starts", to)
		return
	case w.left.ownerDeaths > 0:
		to := w
		to.left.ownerDeaths--
		to.seen.told, to.seen.came = false, 0 // it was not in a record
		to.owner = ownerSide{stored: o.stored, uid: o.uid, disk: o.disk}
		yield("the owner dies", to)
	}
	if !o.stored {
		return
	}
	if o.mem.is(transfer.StateQueued) && o.try.phase == idle {
		to := w
		m.step(&to, evAdmit, "")
		yield("admit", to)
	}
	state := stateOf(o.mem.state)
	switch o.try.phase {
	case idle:
		m.begin(w, state, yield)
	case opening, working, finishing:
		m.edgeRuns(w, yield)
	case over:
		m.judge(w, yield)
	case judged:
		to := w
		to.owner.try = attempt{}
		if on := o.try.on; on != 0 {
			m.step(&to, on, resultState(o.try.result))
		}
		yield("store what follows from the attempt", to)
	}
	switch o.try.phase {
	case opening, working, finishing, aborting, releasing:
		gone := w.target.edge.epoch != o.try.epoch && !w.opens(o.try.epoch) // it is only to be noticed
		if gone || w.left.cuts > 0 {
			to := w
			if !gone {
				to.left.cuts--
			}
			m.lost(&to)
			yield("the owner loses the stream", to)
		}
	}
}

// load is newJob and Engine.load.
func (o *ownerSide) load() {
	o.up = true
	if !o.stored {
		return
	}
	j := (*Engine)(nil).newJob(record{Purge: o.disk.purge, Holds: o.disk.holds, Transfer: transfer.Transfer{
		State: stateOf(o.disk.state), Epoch: uint64(o.disk.epoch),
	}})
	o.mem = o.disk
	o.mem.holds = j.holds
	if to, err := next(j.t.State, evRequeue, ""); err == nil && j.t.State != transfer.StateCancelling {
		o.mem.state = numberOf(to)
		o.disk = o.mem
	}
}

// begin opens an edge: to move, or to let go.
func (m *model) begin(w world, state transfer.State, yield yield) {
	o := &w.owner
	tells := state.Terminal() && o.mem.holds
	to, n := w, ownerSide{}
	if state == transfer.StateCancelling { // release
		if m.step(&to, evAborted, "") {
			what := "the cancelled transfer ends, nothing is held"
			if o.mem.holds {
				what = "the cancelled transfer ends, the target does not answer"
			}
			yield(what, to)
		}
		tells = o.mem.holds
	}
	attempts := state == transfer.StateRunning || state == transfer.StatePausing
	if !tells && !attempts || o.mem.epoch == m.most {
		return
	}
	to = w
	n = to.owner
	n.mem.epoch++
	n.try = attempt{phase: releasing, epoch: n.mem.epoch, held: n.mem.holds, out: 1}
	if attempts {
		n.try.phase = opening
		n.mem.holds = true
	}
	n.disk = n.mem
	to.owner = n
	if !to.send(message{kind: mOpen, epoch: n.mem.epoch}) {
		return
	}
	if attempts {
		to.owner.tellEdge()
		yield("open an edge", to)
		return
	}
	to.owner.try.asked = releaseEnd(&n.mem)
	if to.send(message{mAbort, n.mem.epoch, 1, uint8(to.owner.try.asked)}) {
		yield("open an edge to end it", to)
	}
}

// releaseEnd is what tell asks for.
func releaseEnd(d *durable) transfer.End {
	if d.purge {
		return transfer.EndPurge
	}
	return transfer.EndCancel
}

// edgeRuns is what package sender does by itself.
func (m *model) edgeRuns(w world, yield yield) {
	a := &w.owner.try
	say := func(kind, arg uint8, what string, change func(*attempt)) {
		to := w
		n := &to.owner.try
		if !to.send(message{kind, a.epoch, n.out, arg}) {
			return
		}
		n.out++
		change(n)
		yield(what, to)
	}
	if a.asked != 0 {
		say(mAbort, uint8(a.asked), "tell the target to end", func(n *attempt) { n.phase = aborting })
		return
	}
	if w.left.patience > 0 {
		to := w
		to.left.patience--
		to.owner.try.given, to.owner.try.asked = true, transfer.EndCancel
		yield("patience runs out", to)
	}
	if a.phase != working {
		return
	}
	if a.result != 0 {
		say(mFinish, 0, "Finish", func(n *attempt) { n.phase = finishing })
		return
	}
	if !a.answered || a.doneSent {
		return
	}
	for i, s := range a.sent {
		if s == unsent {
			to := w
			to.owner.try.sent[i] = underWay
			if to.send(message{mData, a.epoch, uint8(i), w.src}) {
				yield("send an extent", to)
			}
		}
	}
	quiet := a.sent[0] != underWay && a.sent[1] != underWay
	all := a.sent == [2]uint8{landed, landed}
	switch changed := w.src != a.print && !m.noLook; {
	case changed && (quiet || m.noQuiet) && a.restarts == 2:
		say(mGiveUp, 0, "give the entry up", func(n *attempt) { n.doneSent = true })
	case changed && (quiet || m.noQuiet):
		say(mRestart, w.src, "the source changed: begin the entry anew", func(n *attempt) {
			n.restarts++
			n.print, n.answered, n.sent = w.src, false, [2]uint8{}
		})
	case all && !changed:
		say(mDone, 0, "the source is the same: EntryDone", func(n *attempt) {
			n.doneSent = true
			if m.trustsSent {
				n.phase, n.result = over, came
			}
		})
	}
}

// lost ends an attempt by its stream.
func (m *model) lost(w *world) {
	a := &w.owner.try
	w.seen.came = 0
	switch a.phase {
	case aborting:
		a.end = endedStopped // the target confirmed nothing
	case releasing:
		*a = attempt{} // it is told later
		return
	default:
		a.end = endedLost
	}
	a.phase = over
}

// judge is learn, follow and decide.
func (m *model) judge(w world, yield yield) {
	to := w
	o := &to.owner
	a := &o.try
	var err *transfer.Error
	switch a.end {
	case endedStopped:
		err = &transfer.Error{Reason: transfer.Cancelled}
	case endedLost:
		err = &transfer.Error{Reason: transfer.PeerLost}
	case endedStale:
		err = &transfer.Error{Reason: transfer.StaleEpoch}
	case endedBusy:
		err = &transfer.Error{Reason: transfer.DestBusy}
	case endedGone:
		err = &transfer.Error{Reason: transfer.DestChanged}
	}
	j := o.job()
	if err != nil {
		j.learn(a.held, &sender.Summary{Confirmed: a.confirmed, Refused: a.refused}, err)
	} else {
		j.learn(a.held, &sender.Summary{}, nil)
	}
	o.mem.holds = j.holds
	switch {
	case err == nil:
		a.on = evDone
	case a.given:
		a.on = follow(j.t.State, j.owes(), &transfer.Error{Reason: transfer.Stalled})
	default:
		a.on = follow(j.t.State, j.owes(), err)
	}
	a.phase = judged
	yield("judge the attempt", to)
}

func resultState(result uint8) transfer.State {
	var good, bad int64
	if result == came {
		good = 1
	} else {
		bad = 1
	}
	s, _ := decide(good, bad, &sender.Summary{})
	return s
}

// hear is what a message of the target does.
func (m *model) hear(to *world, g message) {
	a := &to.owner.try
	if !to.owner.up || a.epoch != g.epoch || a.in != g.number {
		return
	}
	a.in++
	switch g.kind {
	case mOpened:
		if a.phase == opening && a.asked == 0 {
			a.phase, a.print = working, to.src
			if !to.send(message{mEntry, a.epoch, a.out, a.print}) {
				m.lost(to)
			}
			a.out++
		}
	case mAnswer:
		a.answered = true
		for i := range a.sent {
			a.sent[i] = landed
			if g.arg&(1<<i) != 0 {
				a.sent[i] = unsent
			}
		}
	case mResult:
		a.result = g.arg
	case mFinished:
		m.heardEnd(to, g.arg == complete)
	case mRefused:
		switch a.phase {
		case releasing:
			if g.arg == endedGone { // there is nothing to let go of
				m.released(to)
				return
			}
			*a = attempt{}
			return
		case aborting:
			a.end = endedStopped
		default:
			a.end = g.arg
		}
		a.refused = g.number == 0
		a.phase = over
	}
}

// heardEnd is the target's last word.
func (m *model) heardEnd(to *world, all bool) {
	o := &to.owner
	a := &o.try
	to.seen.told = to.seen.told || all
	switch {
	case a.phase == finishing, a.phase == aborting && all && !m.cancelWins:
		a.end, a.phase = endedWell, over
		return
	}
	switch a.phase {
	case aborting:
		a.end, a.confirmed, a.phase = endedStopped, a.asked, over
	case releasing:
		m.released(to)
	}
}

// released is tell, of a target that holds nothing any more.
func (m *model) released(to *world) {
	o := &to.owner
	asked := o.try.asked
	o.try = attempt{}
	if stateOf(o.mem.state).Terminal() {
		o.mem.holds = false
		m.store(to)
		return
	}
	o.mem.holds = o.mem.purge && asked != transfer.EndPurge
	m.step(to, evAborted, "")
}
