package lifecycle

import (
	"errors"
	"fmt"
	"slices"

	"github.com/xferd/xferd/transfer"
)

// world is one state of everything: a transfer of one file with two extents, its
// owner and its target, each with what lasts and what a crash takes, the file
// system of the target, what is on the network, and a stranger with the same
// destination. It is a plain value, so that states can be told apart.
//
// The owner is the code that runs: the machine, follow, decide, learn, endLocked
// and the loading of a record. The target decides between its reads and writes
// of files, so it is modelled by what it makes durable: the lock and the epoch
// (receiver: takeLock, checkEpoch), the journal's temps and directories (scan,
// recoverTemp, madeDirs), the partial, COMMITTING and the rename, and the order
// of these when an edge ends (end, leaveBehind) and when the node starts again.
type world struct {
	src uint8 // version of the source, from 1

	owner  ownerSide
	target targetSide

	dir   bool     // the destination's directory
	temp  file     // the temporary file of the edge
	part  file     // the partial in the index
	final [2]uint8 // versions of the extents under the final name; 0: none

	stranger uint8 // see below
	net      [netSize]message
	left     budget
	seen     history
}

type ownerSide struct {
	up, stored bool
	uid        uint8
	disk, mem  durable
	try        attempt
}

// durable is the part of a record that decides.
type durable struct {
	state        uint8 // of allStates, from 1
	epoch        uint8
	holds, purge bool
}

// attempt is an edge at the owner, and what its end comes to.
type attempt struct {
	phase     uint8
	epoch     uint8
	held      bool // what the record said before
	asked     transfer.End
	given     bool // patience ran out
	print     uint8
	restarts  uint8
	sent      [2]uint8
	answered  bool
	doneSent  bool
	result    uint8
	end       uint8 // how it ended
	confirmed transfer.End
	refused   bool
	on        event
	out, in   uint8 // numbers of the next messages
}

// Phases of an attempt.
const (
	idle = iota
	opening
	working
	finishing
	aborting
	releasing // an edge that is opened only to end it
	over      // nothing of it runs
	judged    // what follows is decided, and not stored
)

// What became of an extent.
const (
	unsent = iota
	underWay
	landed
)

// Results of the entry (it came under its name), and how attempts end.
const (
	came = iota + 1
	failedToCome
)
const (
	endedWell = iota
	endedStopped
	endedLost
	endedStale
	endedBusy
	endedGone // others have taken what the target had let go of
)

type targetSide struct {
	up bool
	// What lasts.
	lock      bool
	epoch     uint8 // the newest that was seen
	made      bool  // the journal says that the directory is of this transfer's making
	unsettled bool  // the journal names the temp
	gone      uint8 // it was let go of: see lapsed
	// What does not.
	edge edgeSide
}

// What the target remembers of a transfer that it let go of by itself.
const (
	lapsed = iota + 1
	overtaken
)

// edgeSide is an edge at the target.
type edgeSide struct {
	phase   uint8
	epoch   uint8
	in, out uint8
	entry   uint8
	how     uint8
	done    bool // EntryDone came
	bad     bool // the entry failed
}

const (
	noEdge = iota
	serving
	resting // it ends: the first step, and those that follow
	settling
	removing
	unlocking
)

// What became of the entry.
const (
	none = iota
	receiving
	committing
	renamed
	answered
)

const (
	howLost = iota
	howPaused
	howCancelled
	howPurged
	howFinished
	howFinishing // Finish came: metadata of directories, which an Abort stops
)

type file struct {
	on    bool
	made  bool // of a partial: its transfer made the directory
	print uint8
	ext   [2]uint8
}

func (f *file) complete() bool { return f.on && f.ext[0] != 0 && f.ext[1] != 0 }

// The stranger: 0 is not there, then it holds the lock, has published, is gone.
const (
	strangerHolds = iota + 1
	strangerPublished
	strangerGone
)

// Contents that are not versions of the source.
const (
	oldFile    = 8
	strangerIs = 9
)

// budget is how often what nobody wants may still happen.
type budget struct {
	ownerDeaths, targetDeaths, submits, cancels, pauses, changes, doubles, lapses, sweeps, patience, strangers, cuts uint8
}

// history is what was shown to people, and cannot be taken back.
type history struct {
	uid   uint8 // that Submit answered
	other bool  // a second one was answered
	state uint8 // a terminal one
	file  bool  // something came under the final name, or was there
	fresh bool  // the directory was not there before
	stole bool  // it was renamed while the stranger held the destination
	told  bool  // the owner was told that all was done, and lives
	late  bool  // the stranger took what the target had let go of
	came  uint8 // the epoch that brought the file under its name, while nobody died and every word was heard
}

type message struct{ kind, epoch, number, arg uint8 }

const netSize = 5

// Messages.
const (
	mOpen = iota + 1
	mEntry
	mDone
	mRestart
	mGiveUp
	mFinish
	mAbort
	mData // number is the extent, arg the version
	mOpened
	mAnswer // arg has a bit for each extent that is wanted
	mResult
	mFinished
	mRefused
)

var messageNames = [...]string{"", "Open", "Entry", "EntryDone", "EntryRestart", "EntryGiveUp", "Finish", "Abort", "data", "Opened", "Answer", "Result", "Finished", "Refused"}

// send puts a message on the network, which has room for a few. The order of
// those that wait is no part of the state.
func (w *world) send(m message) bool {
	if w.net[netSize-1].kind != 0 {
		return false
	}
	w.net[netSize-1] = m
	w.sortNet()
	return true
}

func (w *world) sortNet() {
	slices.SortFunc(w.net[:], func(a, b message) int {
		switch {
		case (a.kind == 0) != (b.kind == 0):
			if a.kind == 0 {
				return 1
			}
			return -1
		case a.epoch != b.epoch:
			return int(a.epoch) - int(b.epoch)
		case a.kind != b.kind:
			return int(a.kind) - int(b.kind)
		case a.number != b.number:
			return int(a.number) - int(b.number)
		}
		return int(a.arg) - int(b.arg)
	})
}

func (w *world) take(i int) {
	w.net[i] = message{}
	w.sortNet()
}

func stateOf(n uint8) transfer.State {
	if n == 0 {
		return ""
	}
	return allStates[n-1]
}

func numberOf(s transfer.State) uint8 { return uint8(slices.Index(allStates, s) + 1) }

func (d *durable) is(s transfer.State) bool { return stateOf(d.state) == s }

// check looks whether every promise holds.
func check(w *world) error {
	o, t := &w.owner, &w.target
	shown := stateOf(w.seen.state)
	idleTarget := t.up && t.edge.phase == noEdge
	switch {
	case w.final[0] != w.final[1]:
		return fmt.Errorf("P1: the file has bytes of the versions %v", w.final)
	case w.seen.uid != 0 && !o.stored:
		return errors.New("P3: what was submitted is lost")
	case w.seen.other:
		return errors.New("P4: one id is two transfers")
	case w.seen.file && w.final[0] == 0:
		return errors.New("P5: a published file is gone")
	case w.seen.stole:
		return errors.New("P5: it replaces a file while another transfer holds the destination, or has taken it over")
	case shown != "" && o.disk.state != w.seen.state:
		return fmt.Errorf("the transfer was %s, and is %s", shown, stateOf(o.disk.state))
	case shown == transfer.StateSucceeded && (w.final[0] == 0 || w.final[0] == oldFile):
		return errors.New("P2: SUCCEEDED, and nothing was published")
	case w.seen.told && shown == transfer.StateCancelled:
		return errors.New("P6: CANCELLED, and the target had said that all was done")
	case w.seen.came != 0 && w.seen.came == o.disk.epoch && shown == transfer.StateCancelled:
		return errors.New("P6: CANCELLED over a complete tree")
	case idleTarget && w.temp.on:
		return errors.New("a temporary file that nobody has a record of")
	}
	if shown == "" {
		return nil
	}
	if shown != transfer.StateSucceeded && w.seen.fresh && w.stranger == 0 && idleTarget && !t.lock && !w.part.on && w.final[0] == 0 && w.dir {
		return fmt.Errorf("P6: %s, and an empty directory of its making is left", shown)
	}
	if o.up && o.try.phase == idle && !o.mem.holds && (t.lock || t.edge.phase != noEdge) {
		return fmt.Errorf("%s, and the target holds the destination, which the owner does not know", shown)
	}
	return nil
}
