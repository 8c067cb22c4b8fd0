// Package receiver is the target's end of an edge: it opens the destination
// under a durable lock, decides for every entry of the manifest what has to
// move, lands the bytes in temporary files, publishes them, deletes what a sync
// asks to delete, and keeps what is worth going on from when an edge ends early.
//
// Its record of landed extents is the only truth about what is at the target.
// It decides nothing about the transfer as a whole: retries, states and
// deadlines are the owner's (package lifecycle).
//
// One [Receiver] serves all edges of a node. An edge is one [Receiver.Serve]
// call with these goroutines, all of which have ended when it returns: the loop
// that handles the owner's messages, the streams of the transport that call the
// sink, the publishers, the comparers and the outbox.
package receiver
