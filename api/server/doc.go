// Package server is what callers of the gRPC API xfer.v1 meet: it checks
// requests in full, finds out who calls, forwards what belongs to another node,
// translates between messages and the types of package transfer, and turns
// errors into statuses.
//
// It decides nothing about transfers: it calls the [Engine], [Nodes], [Guard]
// and [Forwarder] that it is given. It keeps no state but the number of
// watches, and it does not listen: see [New] and [Options].
package server
