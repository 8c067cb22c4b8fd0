package lifecycle

import (
	"flag"
	"slices"
	"testing"

	"github.com/xferd/xferd/transfer"
)

var exploreAll = flag.Bool("explore.all", false, "walk through the long stories as well")

// mostStates bounds a walk. No story comes to it that is whole.
const mostStates = 2_000_000

// story is where a walk begins, and what may happen in it.
type story struct {
	name  string
	left  budget
	fresh bool // the destination's directory is not there
	most  uint8
	long  bool
}

var stories = []story{
	{"nothing happens", budget{submits: 1}, true, 1, false},
	{"the same is submitted again", budget{submits: 3, ownerDeaths: 1}, true, 2, false},
	{"deaths", budget{submits: 1, ownerDeaths: 1, targetDeaths: 1, cuts: 1}, true, 3, false},
	{"deaths over a file", budget{submits: 1, ownerDeaths: 1, targetDeaths: 1}, false, 3, false},
	{"the source changes", budget{submits: 1, changes: 3, cuts: 1}, true, 3, false},
	{"cancel and deaths", budget{submits: 1, cancels: 1, ownerDeaths: 1, targetDeaths: 1}, true, 2, false},
	{"cancel a pause", budget{submits: 1, cancels: 1, pauses: 1, cuts: 1}, true, 3, false},
	{"a bad network", budget{submits: 1, doubles: 2, cuts: 2}, true, 4, false},
	{"a stranger", budget{submits: 1, strangers: 1, lapses: 1, cancels: 1, doubles: 1}, true, 3, false},
	{"the lock lapses", budget{submits: 1, cancels: 1, cuts: 1, lapses: 1}, true, 3, false},
	{"the source changes, the lock lapses", budget{submits: 1, changes: 2, cuts: 1, lapses: 1}, true, 4, false},
	{"no patience", budget{submits: 1, patience: 1, pauses: 1, cuts: 1}, true, 3, false},

	{"many deaths", budget{submits: 1, ownerDeaths: 2, targetDeaths: 2}, true, 4, true},
	{"deaths while the source changes", budget{submits: 1, changes: 2, ownerDeaths: 1, targetDeaths: 1}, true, 3, true},
	{"cancel on a bad network", budget{submits: 1, doubles: 1, cuts: 2, cancels: 1}, true, 4, true},
	{"cancel a pause, and deaths", budget{submits: 1, cancels: 1, pauses: 1, targetDeaths: 1, cuts: 1}, true, 4, true},
	{"a stranger, and deaths", budget{submits: 1, strangers: 1, cuts: 1, lapses: 1, targetDeaths: 1, sweeps: 1}, true, 4, true},
	{"the lock lapses, partials are swept", budget{submits: 1, cancels: 1, cuts: 1, lapses: 1, sweeps: 1, targetDeaths: 1}, true, 4, true},
	{"no patience, and a cancel", budget{submits: 1, patience: 1, cancels: 1, ownerDeaths: 1, cuts: 1}, true, 3, true},
}

func (s *story) begin() world {
	w := world{src: 1, left: s.left, owner: ownerSide{up: true}, target: targetSide{up: true}}
	w.seen.fresh = s.fresh
	if !s.fresh {
		w.dir, w.final, w.seen.file = true, [2]uint8{oldFile, oldFile}, true
	}
	return w
}

// TestP1P3P4P5P6EveryStateOfTheLifecycle walks through all states of a transfer, the
// nearest first, with messages that are lost, doubled and reordered and with deaths at
// any step, and looks at the promises in each. -explore.all adds the long stories.
func TestP1P3P4P5P6EveryStateOfTheLifecycle(t *testing.T) {
	sum := 0
	for _, s := range stories {
		if s.long && !*exploreAll {
			continue
		}
		m := &model{most: s.most}
		ends := map[transfer.State]int{}
		f := explore(s.begin(), m.steps, func(w *world) error {
			ends[stateOf(w.seen.state)]++
			return check(w)
		}, mostStates)
		sum += f.states
		if f.broken != nil {
			t.Errorf("%s: %v", s.name, &f)
			continue
		}
		t.Logf("%s: %v; SUCCEEDED in %d, CANCELLED in %d, FAILED in %d", s.name, &f,
			ends[transfer.StateSucceeded], ends[transfer.StateCancelled], ends[transfer.StateFailed])
		if ends[transfer.StateSucceeded] == 0 || s.left.cancels > 0 && ends[transfer.StateCancelled] == 0 {
			t.Errorf("%s: no way leads to an end that has to be possible", s.name)
		}
	}
	t.Logf("%d states in all", sum)
}

// TestExplorerFindsBrokenRules breaks one rule at a time and looks whether the
// explorer finds it.
func TestExplorerFindsBrokenRules(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules rules
		story string
	}{
		{"old epochs are taken", rules{oldEpochs: true}, "the same is submitted again"},
		{"data of an old edge lands", rules{noFence: true}, "the source changes"},
		{"the source is not looked at again", rules{noLook: true}, "the source changes"},
		{"a file is begun anew too early", rules{noQuiet: true}, "the source changes"},
		{"any partial is adopted", rules{anyPartial: true}, "the source changes"},
		{"a file is published before EntryDone", rules{hasty: true}, "the source changes"},
		{"clean-up removes the final name", rules{cleanFinal: true}, "cancel and deaths"},
		{"directories are left", rules{keepDirs: true}, "cancel and deaths"},
		{"who adopts leaves directories", rules{losesDirs: true}, "the lock lapses"},
		{"an id is not looked for", rules{forgetIDs: true}, "the same is submitted again"},
		{"a restart forgets what is held", rules{losesHolds: true}, "cancel and deaths"},
		{"a state is shown before it is stored", rules{showFirst: true}, "nothing happens"},
		{"what was sent counts as published", rules{trustsSent: true}, "nothing happens"},
		{"locks of others do not count", rules{noLock: true}, "a stranger"},
		{"a restart leaves temps", rules{keepStrays: true}, "deaths"},
		{"a cancel wins over the end", rules{cancelWins: true}, "cancel and deaths"},
		{"a cancel counts over a complete tree", rules{leavesWhole: true}, "cancel and deaths"},
		{"the target forgets what it let go of", rules{forgetsLapse: true}, "a stranger, and deaths"},
		{"a cancel leaves the lock", rules{cancelsLate: true}, "cancel and deaths"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &stories[slices.IndexFunc(stories, func(s story) bool { return s.name == tt.story })]
			m := &model{rules: tt.rules, most: s.most}
			f := explore(s.begin(), m.steps, check, mostStates)
			if f.broken == nil {
				t.Fatalf("nothing was found in %v", &f)
			}
			t.Log(&f)
		})
	}
}
