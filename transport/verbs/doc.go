// Package verbs is the transport over RDMA: one-sided writes of the source into
// memory that the target granted for one edge and epoch, an XXH3-128 per extent
// at both ends.
//
// The target has slots, each of one chunk, and a header cell beside each. The
// source fills a slab of its own, writes it into a slot and its header into the
// cell, and ends with a write of no bytes and an immediate, which is what wakes
// the target: payload is never polled. Set-up, grants and answers go over the
// edge's control stream (transport.Control).
//
// Every session has protection domains and queue pairs of its own, tried with a
// probe before use. The fence destroys the queue pairs before memory is used
// again; where that fails the memory is quarantined for good.
//
// It is not the place for verbs themselves (package rdma), for which transport
// an edge takes, or for what a transfer is.
package verbs
