package server

import (
	"context"

	"github.com/xferd/xferd/transfer"
)

// Engine owns the transfers whose source is this node, and knows those of which
// it is the target. Package lifecycle implements it.
//
// Its methods may be called concurrently. Transfers that they return are
// values: the caller may keep them, and changes nothing in what they refer to.
// Ids are valid by transfer.CheckID. Errors are *transfer.Error; a transfer
// that is not known (any more) is TRANSFER_NOT_FOUND. None of them checks
// whether the caller may: the server did.
type Engine interface {
	// Submit stores a transfer durably and returns it, QUEUED, with false. Where
	// the id is known already it returns that transfer, in whatever state, with
	// true, if Same is equal, and REQUEST_ID_REUSED if not.
	// Other errors: NODE_UNKNOWN or NODE_DRAINING of the target, SOURCE_*,
	// QUEUE_FULL, STATE_NO_SPACE, NODE_STOPPING.
	Submit(ctx context.Context, s transfer.Submission) (t transfer.Transfer, existed bool, err error)

	// Validate does all the checks of Submit, asks the target as well, and
	// changes nothing. Refusals of the target are its errors.
	Validate(ctx context.Context, s transfer.Submission) (transfer.Plan, error)

	// Get returns a transfer that this node owns.
	Get(ctx context.Context, id string) (transfer.Transfer, error)

	// List returns at most limit transfers after a position, in the order of
	// transfer.Position, and the mark that Changes goes on from: a change that
	// the list does not show comes after it.
	List(ctx context.Context, q transfer.Query, after transfer.Position, limit int) ([]transfer.Transfer, transfer.Mark, error)

	// Changes returns the selected transfers that changed after the mark, each
	// once and as it is now, in the order of their last changes, and the mark up
	// to which that is complete. It blocks until there is one, or ctx ends; then
	// it returns none, the mark that it reached and no error. What ended is never
	// left out: a terminal state is the last change of a transfer.
	//
	// The engine keeps nothing for a watcher between calls, so a slow one costs
	// it nothing. A mark of another state, or from the future, or older than
	// what is remembered, is COMPACTED: the caller lists again. Query.Incoming
	// is not supported here.
	Changes(ctx context.Context, q transfer.Query, since transfer.Mark) ([]transfer.Transfer, transfer.Mark, error)

	// Entries returns at most limit results of a transfer's entries, and where
	// to go on: 0 when there are no more (for a running transfer: as of now).
	// after is 0 or what an earlier call returned.
	Entries(ctx context.Context, id string, q transfer.EntryQuery, after uint64, limit int) (results []transfer.Result, next uint64, err error)

	// Wait blocks until the transfer is over or ctx ends, and returns it as it
	// is then. The end of ctx is no error.
	Wait(ctx context.Context, id string) (transfer.Transfer, error)

	// Cancel asks for the end of a transfer and returns it, CANCELLING or
	// CANCELLED. purge drops its partials as well. One that is CANCELLED
	// (or CANCELLING) already is returned as it is; for others that are over
	// the error is ALREADY_FINISHED, and ALREADY_COMMITTED where the target has
	// done everything and only the record of it is missing. A transfer that is
	// CANCELLING ends by its results after all where the target was done before
	// the cancel reached it. by is who asked.
	Cancel(ctx context.Context, id string, purge bool, by string) (transfer.Transfer, error)

	// Pause asks a QUEUED or RUNNING transfer to stop, keeping all it has.
	// PAUSING and PAUSED ones are returned as they are. Errors: BAD_STATE,
	// ALREADY_FINISHED.
	Pause(ctx context.Context, id string) (transfer.Transfer, error)

	// Resume queues a PAUSED transfer again; QUEUED and RUNNING ones are
	// returned as they are. Errors: BAD_STATE, ALREADY_FINISHED.
	Resume(ctx context.Context, id string) (transfer.Transfer, error)

	// Retry submits the spec of a transfer that is over as a new one with the
	// id newID and RetryOf set, for the principal by. It is idempotent as Submit
	// is. One that is not over is BAD_STATE.
	Retry(ctx context.Context, id, newID, by string) (t transfer.Transfer, existed bool, err error)

	// Update changes priority, rate, deadline or labels of a transfer that is
	// not over (ALREADY_FINISHED). Labels can be changed always.
	Update(ctx context.Context, id string, u transfer.Update) (transfer.Transfer, error)

	// OpenPosts lets one caller at a time (POSTS_BUSY) post a prepared transfer that is
	// not over (ALREADY_FINISHED). One that is not prepared, or is to finish, is
	// BAD_STATE.
	OpenPosts(ctx context.Context, id string) (PostStream, error)

	// FinishPosts asks for the end of a prepared transfer, after all that was posted,
	// and returns it. It is idempotent. One that is not prepared, or is PAUSED, is
	// BAD_STATE.
	FinishPosts(ctx context.Context, id string) (transfer.Transfer, error)

	// Incoming returns the transfer with that uid, or else that owner and id,
	// of which this node is the target.
	Incoming(ctx context.Context, ref IncomingRef) (transfer.Transfer, error)

	// Abandon ends this target's part in a transfer of an owner that is lost: it
	// fences, then frees lock and temps; partials stay. BAD_STATE where the
	// owner's control stream is alive.
	Abandon(ctx context.Context, uid transfer.UID) error
}

// IncomingRef names a transfer at its target: by its UID, or by Owner and ID
// where that is zero.
type IncomingRef struct {
	UID   transfer.UID
	Owner transfer.NodeID
	ID    string
}
