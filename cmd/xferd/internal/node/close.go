package node

import (
	"net"

	"github.com/xferd/xferd/internal/bufpool"
)

// closeOpened closes what New opened, in reverse order. For a node that was
// never run, and for the end of Run.
func (n *Node) closeOpened() {
	if n.target != nil {
		n.target.close()
	} else if n.receiver != nil {
		_ = n.receiver.Close()
	}
	if n.api != nil {
		_ = n.api.Close()
	}
	if n.dialer != nil {
		_ = n.dialer.Close()
	}
	if n.cluster != nil {
		_ = n.cluster.Close()
	}
	for _, l := range []net.Listener{n.socket, n.http, n.data, n.control} {
		if l != nil {
			_ = l.Close()
		}
	}
	if n.verbs != nil {
		_ = n.verbs.Close() // sessions are over by now
	}
	if n.fabric != nil {
		if err := n.fabric.close(); err != nil {
			n.log.Error("close RDMA devices", "err", err)
		}
	}
	if n.regions != nil {
		_ = n.regions.Close() // after all that use memory of them
	}
	for _, p := range []*bufpool.Pool{n.sendPool, n.recvPool} {
		if p != nil {
			if err := p.Close(); err != nil {
				n.log.Error("buffers are still lent", "err", err)
			}
		}
	}
	if n.store != nil {
		leave := n.store.Close
		if n.mistaken { // what was made for a wrong name must not be in the way of the right one
			leave = func() error { return n.store.Discard("node", "peers") }
		}
		if err := leave(); err != nil {
			n.log.Error("close the state directory", "err", err)
		}
	}
	if x := n.exports.Load(); x != nil {
		_ = x.Close()
	}
}
