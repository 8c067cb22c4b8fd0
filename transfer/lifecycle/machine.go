package lifecycle

import (
	"fmt"

	"github.com/xferd/xferd/transfer"
)

// event is something that happened to a transfer.
type event uint8

const (
	evAdmit   event = iota + 1 // the queue gave it a place
	evRequeue                  // the node stopped or restarted while it ran
	evRetry                    // the attempt ended for a reason that may pass
	evDone                     // the attempt ended well, or as well as it can: see ending
	evFail                     // the attempt ended for a reason that will not pass, or deadline or patience ran out
	evAborted                  // the attempt ended because it was asked to, or nothing was left to stop
	evPause
	evResume
	evExpire // the deadline passed while it did not run
	evCancel
)

func (e event) String() string {
	names := [...]string{"", "admit", "requeue", "retry", "done", "fail", "aborted", "pause", "resume", "expire", "cancel"}
	return names[e]
}

// transition is one line of the machine.
type transition struct {
	from transfer.State
	on   event
}

// ending stands for the terminal state that the attempt's results decide.
const ending transfer.State = "(by result)"

// machine is the whole life of a transfer. What is not in it cannot happen: an
// operation is refused with BAD_STATE, or ALREADY_FINISHED in a terminal state.
//
// A cancel that comes while an attempt runs does not decide anything: if the
// target says that all was done before the cancel reached it, the transfer
// succeeded. The one stored record of the terminal state is the decision; a cancel
// between that word of the target and the record is refused with ALREADY_COMMITTED.
var machine = map[transition]transfer.State{
	{transfer.StateQueued, evAdmit}:  transfer.StateRunning,
	{transfer.StateQueued, evPause}:  transfer.StatePaused,
	{transfer.StateQueued, evCancel}: transfer.StateCancelling,
	{transfer.StateQueued, evExpire}: transfer.StateFailed,

	{transfer.StateRunning, evRequeue}: transfer.StateQueued,
	{transfer.StateRunning, evRetry}:   transfer.StateRunning,
	{transfer.StateRunning, evDone}:    ending,
	{transfer.StateRunning, evFail}:    transfer.StateFailed,
	{transfer.StateRunning, evPause}:   transfer.StatePausing,
	{transfer.StateRunning, evCancel}:  transfer.StateCancelling,

	{transfer.StatePausing, evRequeue}: transfer.StatePaused,
	{transfer.StatePausing, evRetry}:   transfer.StatePaused,
	{transfer.StatePausing, evAborted}: transfer.StatePaused,
	{transfer.StatePausing, evDone}:    ending,
	{transfer.StatePausing, evFail}:    transfer.StateFailed,
	{transfer.StatePausing, evPause}:   transfer.StatePausing,
	{transfer.StatePausing, evCancel}:  transfer.StateCancelling,

	{transfer.StatePaused, evPause}:  transfer.StatePaused,
	{transfer.StatePaused, evResume}: transfer.StateQueued,
	{transfer.StatePaused, evCancel}: transfer.StateCancelling,
	{transfer.StatePaused, evExpire}: transfer.StateFailed,

	{transfer.StateCancelling, evRequeue}: transfer.StateCancelling,
	{transfer.StateCancelling, evRetry}:   transfer.StateCancelling,
	{transfer.StateCancelling, evAborted}: transfer.StateCancelled,
	{transfer.StateCancelling, evFail}:    transfer.StateCancelled,
	{transfer.StateCancelling, evDone}:    ending,
	{transfer.StateCancelling, evCancel}:  transfer.StateCancelling,
}

// next returns the state that follows. result is the terminal state that the
// results of an attempt call for; it matters for evDone only.
func next(from transfer.State, on event, result transfer.State) (transfer.State, *transfer.Error) {
	to, ok := machine[transition{from, on}]
	switch {
	case ok && to == ending:
		return result, nil
	case ok:
		return to, nil
	case from.Terminal():
		return from, &transfer.Error{
			Reason: transfer.AlreadyFinished, Side: transfer.SideOwner,
			Err: fmt.Errorf("cannot %s a transfer that is %s", on, from),
		}
	}
	return from, &transfer.Error{
		Reason: transfer.BadState, Side: transfer.SideOwner,
		Err: fmt.Errorf("cannot %s a transfer that is %s", on, from), Hint: untilThen(from, on),
	}
}

// untilThen says what to wait for before the same can be asked again.
func untilThen(from transfer.State, on event) string {
	if on == evResume && from == transfer.StatePausing {
		return "it can be resumed when it is PAUSED: look with «xferctl transfers show», which says what it waits for"
	}
	return ""
}

// follow returns the event that a failed attempt is, in the state that was asked
// for meanwhile. It is 0 where the target of a cancelled transfer may not know of
// the cancel (the edge was stopped to pause, or its answer was lost): it is told
// once more.
func follow(state transfer.State, owes bool, e *transfer.Error) event {
	switch {
	case e.Reason == transfer.Cancelled && state == transfer.StateCancelling && owes:
		return 0
	case e.Reason == transfer.Cancelled && state != transfer.StateRunning:
		return evAborted
	case e.Reason == transfer.Stalled: // it would pass, but patience ran out
		return evFail
	case e.Reason == transfer.StateNoSpace && (owes || e.Side == transfer.SideOwner):
		// It was accepted, at both ends: it waits for room. What the target refused
		// before it took anything on is for a person.
		return evRetry
	case e.Reason.Transient():
		return evRetry
	}
	return evFail
}
