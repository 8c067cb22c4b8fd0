package lifecycle

import (
	"testing"

	"github.com/xferd/xferd/transfer"
)

var allStates = []transfer.State{
	transfer.StateQueued, transfer.StateRunning, transfer.StatePausing, transfer.StatePaused,
	transfer.StateCancelling, transfer.StateSucceeded, transfer.StatePartial, transfer.StateFailed,
	transfer.StateCancelled,
}

// Every pair of state and event either leads somewhere or is refused with the
// reason that a caller can act on, and no terminal state is ever left.
func TestMachineIsTotal(t *testing.T) {
	for _, from := range allStates {
		for on := evAdmit; on <= evCancel; on++ {
			to, err := next(from, on, transfer.StateSucceeded)
			if from.Terminal() && to != from {
				t.Errorf("%s leaves terminal %s for %s", on, from, to)
			}
			if err == nil {
				continue
			}
			want := transfer.BadState
			if from.Terminal() {
				want = transfer.AlreadyFinished
			}
			if err.Reason != want || to != from {
				t.Errorf("%s in %s: %v, state %s", on, from, err, to)
			}
		}
	}
}

// From every state that is not terminal a terminal one can be reached, and a
// cancel always leads to an end.
func TestMachineEnds(t *testing.T) {
	for _, from := range allStates {
		seen := map[transfer.State]bool{from: true}
		for todo := []transfer.State{from}; len(todo) > 0; todo = todo[1:] {
			for on := evAdmit; on <= evCancel; on++ {
				to, err := next(todo[0], on, transfer.StateSucceeded)
				if err == nil && !seen[to] {
					seen[to] = true
					todo = append(todo, to)
				}
			}
		}
		ends := false
		for s := range seen {
			ends = ends || s.Terminal()
		}
		if !ends {
			t.Errorf("no end is reachable from %s", from)
		}
		if !from.Terminal() {
			s, err := next(from, evCancel, "")
			if err != nil || s != transfer.StateCancelling {
				t.Errorf("cancel in %s gives %s, %v", from, s, err)
			}
		}
	}
}

// P4 and the cancel race: an attempt that finished before the abort reached it
// has succeeded, whatever was asked meanwhile.
func TestCancelLosesAgainstFinish(t *testing.T) {
	for _, from := range []transfer.State{transfer.StateRunning, transfer.StatePausing, transfer.StateCancelling} {
		if s, err := next(from, evDone, transfer.StatePartial); err != nil || s != transfer.StatePartial {
			t.Errorf("done in %s gives %s, %v", from, s, err)
		}
	}
}
