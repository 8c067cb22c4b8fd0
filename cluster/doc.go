// Package cluster answers who is here: it keeps the membership of an xferd
// cluster over gossip (hashicorp/memberlist), with what every node says of
// itself (addresses, place, capabilities, draining or not), and tells changes.
//
// A member is a candidate, never an authority: gossip does not authenticate
// single nodes, and word of a death takes seconds. Who uses a member proves its
// identity when dialling, and nothing here decides about a transfer. Job
// control never travels by gossip.
//
// One [Cluster] is one process's membership. [New] binds the sockets,
// [Cluster.Run] owns every goroutine, and all other methods answer from memory.
package cluster
