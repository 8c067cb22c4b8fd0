package node

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"

	"github.com/xferd/xferd/api/peer"
	"github.com/xferd/xferd/cluster"
	"github.com/xferd/xferd/transfer"
)

// peers reaches the targets of transfers: other nodes by gRPC, this one by a
// pipe.
type peers struct {
	n  *Node
	wg sync.WaitGroup // edges of this node to itself

	mu     sync.Mutex
	joined chan struct{}
}

// Check is part of lifecycle.Peers. A node that failed is no mistake of the
// caller: it may come back, and the transfer waits for it.
func (p *peers) Check(id transfer.NodeID) error {
	m, ok := p.n.cluster.Lookup(string(id))
	switch {
	case !ok:
		return unknownNode(id)
	case m.State == cluster.Draining:
		return &transfer.Error{
			Reason: transfer.NodeDraining, Side: transfer.SideTarget, Phase: transfer.PhaseSubmit, Node: id,
			Err:  fmt.Errorf("node %s takes no new transfers", id),
			Hint: "choose another node, or undo it: xferctl nodes undrain " + string(id),
		}
	}
	return nil
}

// OpenTarget is part of lifecycle.Peers.
func (p *peers) OpenTarget(ctx context.Context, id transfer.NodeID) (transfer.TargetLink, error) {
	if string(id) != p.n.cfg.Name {
		return p.n.dialer.OpenTarget(ctx, id)
	}
	mine, theirs := transfer.Pipe()
	p.wg.Go(func() {
		if err := p.n.target.serve(ctx, id, true, theirs); err != nil {
			p.n.log.Debug("edge inside this node ended early", "err", err)
		}
	})
	return mine, nil
}

// Joined is part of lifecycle.Peers.
func (p *peers) Joined() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.joined
}

// watch wakes those who wait for a node.
func (p *peers) watch(ctx context.Context) error {
	for ev := range p.n.cluster.Watch(ctx) {
		if ev.Kind != cluster.Joined {
			continue
		}
		p.mu.Lock()
		close(p.joined)
		p.joined = make(chan struct{})
		p.mu.Unlock()
	}
	return nil
}

// forwarder reaches the API of other nodes over the connections of the edges.
type forwarder struct{ d *peer.Dialer }

func (f forwarder) Conn(ctx context.Context, id transfer.NodeID) (grpc.ClientConnInterface, error) {
	return f.d.Conn(ctx, id)
}
