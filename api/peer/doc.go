// Package peer carries the control streams of edges between nodes: it puts the
// plain messages of package transfer into peer.v1 and back, opens streams to
// other nodes and serves those that come in. What the messages lead to is not
// its business.
package peer
