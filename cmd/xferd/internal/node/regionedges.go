package node

import (
	"context"
	"fmt"
	"time"

	"github.com/xferd/xferd/region"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/memory"
	"github.com/xferd/xferd/transfer/receiver"
	"github.com/xferd/xferd/transfer/scan"
	"github.com/xferd/xferd/transport"
)

// sourceRegions are the regions of this node as transfers read them.
type sourceRegions struct {
	r    *region.Registry
	node transfer.NodeID
}

func (s sourceRegions) Read(principal, id string) (scan.Region, error) {
	g, err := s.r.Read(principal, id)
	if err != nil {
		return nil, transfer.RegionError(err, transfer.SideSource, transfer.PhaseConnect, s.node)
	}
	return g, nil
}

// targetRegions are the regions of this node as transfers write them.
type targetRegions struct {
	r    *region.Registry
	node transfer.NodeID
}

func (t targetRegions) Write(ctx context.Context, q memory.Request) (memory.Writing, error) {
	ranges := make([]region.Range, len(q.Ranges))
	for i, r := range q.Ranges {
		ranges[i] = region.Range{Offset: r.Offset, Length: r.Length}
	}
	w, err := t.r.Write(ctx, region.WriteRequest{Principal: q.Principal, ID: q.ID, Ranges: ranges, Transfer: q.Transfer})
	if err != nil {
		return nil, transfer.RegionError(err, transfer.SideTarget, transfer.PhaseConnect, t.node)
	}
	return writing{w, t.node}, nil
}

type writing struct {
	*region.Writing
	node transfer.NodeID
}

func (w writing) Commit(c memory.Commit) (uint64, error) {
	n, err := w.Writing.Commit(region.Commit{Digest: c.Digest, Bytes: c.Bytes})
	if err != nil {
		return 0, transfer.RegionError(err, transfer.SideTarget, transfer.PhasePublish, w.node)
	}
	return n, nil
}

func (w writing) Again() error {
	if err := w.Writing.Again(); err != nil {
		return transfer.RegionError(err, transfer.SideTarget, transfer.PhaseMove, w.node)
	}
	return nil
}

// target serves the edges that end here: those into regions by one room, the others
// by another.
type target struct {
	node   transfer.NodeID
	files  *receiver.Receiver
	memory *memory.Target
}

// firstTimeout bounds the wait for the first message of an edge.
const firstTimeout = 10 * time.Second

// Serve serves an edge of another node.
func (t *target) Serve(ctx context.Context, from transfer.NodeID, link transfer.OwnerLink) error {
	return t.serve(ctx, from, false, link)
}

func (t *target) serve(ctx context.Context, from transfer.NodeID, sameNode bool, link transfer.OwnerLink) error {
	wait, cancel := context.WithTimeout(ctx, firstTimeout)
	first, err := link.Recv(wait)
	cancel()
	if err != nil {
		_ = link.Close()
		return fmt.Errorf("receive the first message: %w", err)
	}
	link = &readLink{OwnerLink: link, first: first}
	if open, ok := first.(*transfer.Open); ok {
		if _, ok := transfer.RegionOf(open.Dest); ok {
			return t.memory.Serve(ctx, memory.Peer{Node: from, SameNode: sameNode}, link)
		}
	}
	return t.files.Serve(ctx, receiver.Peer{Node: from, SameNode: sameNode}, link)
}

// incoming lists the transfers of other nodes, and of this one, that end here.
func (t *target) incoming() []receiver.IncomingTransfer {
	list := t.files.Incoming()
	for _, in := range t.memory.Incoming() {
		list = append(list, receiver.IncomingTransfer{
			Owner: in.Owner, ID: in.ID, UID: in.UID, Epoch: in.Epoch, Principal: in.Principal, Dest: in.Dest, Since: in.Since, Running: true,
		})
	}
	return list
}

// close ends all edges and waits for them.
func (t *target) close() {
	_ = t.memory.Close() // never fails
	_ = t.files.Close()
}

// readLink is a link whose first message was read already.
type readLink struct {
	transfer.OwnerLink
	first transfer.ToTarget // of Recv
}

func (l *readLink) Recv(ctx context.Context) (transfer.ToTarget, error) {
	if m := l.first; m != nil {
		l.first = nil
		return m, nil
	}
	return l.OwnerLink.Recv(ctx)
}

// openMemory makes the target's end of edges into regions.
func (n *Node) openMemory(acceptors map[string]transport.Acceptor, order []string) *memory.Target {
	self := transfer.NodeID(n.cfg.Name)
	return memory.New(memory.Config{
		Node: self, Incarnation: n.store.Incarnation(), Regions: targetRegions{n.regions, self},
		Acceptors: acceptors, Order: order, Draining: n.drain.on, MaxIncoming: n.cfg.Limits.Incoming, Log: n.log,
	})
}
