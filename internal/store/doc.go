// Package store keeps what a node must not forget, in its state directory:
//
//	lock                         flock of the daemon that uses the directory
//	state.db                     tables: one bbolt file, job-level truth
//	reserve                      space kept for the changes that end work
//	transfers/<uid>/<role>/*.log append-only logs of one transfer
//
// A table change is durable when [Store.Update] returns. A log frame is durable
// when [Log.Sync] returns; what was appended since then may be lost by a power
// cut, in any order, and is cut off at the next open. Whatever else is found
// wrong is a [DamagedError]: nothing is repaired by guessing.
//
// After a write or sync error the store refuses everything and closes
// [Store.Failed]; the daemon stops, since what the kernel kept is unknown. Lack
// of space is not such an error: it is found before anything is written and is
// [ErrNoSpace].
//
// The package knows nothing of transfers: tables hold JSON, logs hold bytes.
package store
