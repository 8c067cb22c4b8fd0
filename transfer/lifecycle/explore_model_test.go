package lifecycle

import "github.com/xferd/xferd/transfer"

// rules are those that a model may be made to break, to see that it is noticed.
type rules struct {
	oldEpochs    bool // the target takes every epoch
	noFence      bool // data of an earlier edge lands in the present one
	noLook       bool // the source is not looked at before EntryDone
	noQuiet      bool // a file is begun anew while its data is under way
	anyPartial   bool // partials are adopted whatever version they are of
	hasty        bool // a file is published before EntryDone
	cleanFinal   bool // the end of an edge removes the final name
	keepDirs     bool // directories are left
	forgetIDs    bool // an id is not looked for
	losesHolds   bool // a restart does not know what the target may hold
	showFirst    bool // a state is shown before it is stored
	trustsSent   bool // what was sent counts as published
	noLock       bool // the stranger is not in the way
	keepStrays   bool // a restart does not look for temps
	cancelsLate  bool // a cancel leaves the lock
	cancelWins   bool // a cancel counts, whatever the target had done before
	forgetsLapse bool // the target forgets what it let go of
	leavesWhole  bool // a cancel counts over a complete tree
	losesDirs    bool // who goes on with a partial does not know that its directories were made
}

// model makes the steps of a world.
type model struct {
	rules
	most uint8 // epochs
}

type yield = func(what string, to world)

// asked are the operations of people.
var asked = []struct {
	what string
	on   event
	left func(*budget) *uint8
}{
	{"cancel", evCancel, func(b *budget) *uint8 { return &b.cancels }},
	{"cancel --purge", evCancel, func(b *budget) *uint8 { return &b.cancels }},
	{"pause", evPause, func(b *budget) *uint8 { return &b.pauses }},
	{"resume", evResume, nil},
}

// people submit and steer. They do not see the answer where the owner dies first.
func (m *model) people(w world, yield yield) {
	o := &w.owner
	if !o.up {
		return
	}
	if w.left.submits > 0 {
		to := w
		to.left.submits--
		n := &to.owner
		if !n.stored || m.forgetIDs {
			n.stored, n.uid = true, n.uid+1
			n.mem = durable{state: numberOf(transfer.StateQueued)}
			n.disk = n.mem
			n.try = attempt{}
			to.seen.state = 0
		}
		if to.left.submits > 0 { // it will be asked again
			yield("Submit, its answer is lost", to)
		}
		to.seen.other = to.seen.uid != 0 && to.seen.uid != n.uid
		to.seen.uid = n.uid
		yield("Submit", to)
	}
	if !o.stored {
		return
	}
	for i := range asked {
		a, to := &asked[i], w
		if a.left != nil {
			n := a.left(&to.left)
			if *n == 0 {
				continue
			}
			*n--
		}
		if purge := a.what == "cancel --purge"; purge { // see Cancel
			if to.owner.mem.epoch > 0 && !to.owner.mem.purge {
				to.owner.mem.holds = true
			}
			to.owner.mem.purge = true
		}
		if m.step(&to, a.on, "") {
			to.owner.tellEdge()
			yield(a.what, to)
		}
	}
}
