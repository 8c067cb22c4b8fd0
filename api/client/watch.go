package client

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// WatchOptions of Watch.
type WatchOptions struct {
	Parent string // NodeName(id) or AllNodes; empty is AllNodes
	Filter *xferv1.TransferFilter
	View   xferv1.TransferView
	// Token resumes: that of a Listing, or of an earlier Event.
	Token string
	// MinInterval between two rounds of news; 0 is the node's default.
	MinInterval time.Duration
	// Lost, if set, is called when the connection broke and is tried again.
	Lost func(error)
}

// Event is one piece of news of a watch. One of Transfer, Lost, Returned and
// CaughtUp is set.
type Event struct {
	Transfer *xferv1.Transfer
	Lost     *xferv1.OwnerLost
	Returned *xferv1.OwnerReturned
	CaughtUp bool
	// Token resumes after this event; empty where there is no newer one.
	Token string
}

// Watch tells of transfers as they change, until ctx ends, the loop is left, or
// an error that does not pass, which is the last pair. When the connection
// breaks it goes on from the last token: a transfer may be told twice as it is,
// but the state in which it ended is never missed. Where the node does not
// remember that far back all transfers are told anew.
func (c *Client) Watch(ctx context.Context, o WatchOptions) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx) // ends the stream when the loop is left
		defer cancel()
		req := &xferv1.WatchTransfersRequest{Parent: o.Parent, Filter: o.Filter, View: o.View, WatchToken: o.Token}
		if req.Parent == "" {
			req.Parent = AllNodes
		}
		if o.MinInterval > 0 {
			req.MinInterval = durationpb.New(o.MinInterval)
		}
		silence := outage{patience: c.patience}
		for {
			left, err := c.watchOnce(ctx, req, &silence, yield)
			if left {
				return
			}
			e := AsError(err)
			if e.Reason == xferv1.Reason_REASON_COMPACTED.Name() && req.WatchToken != "" {
				req.WatchToken = ""
				continue
			}
			if o.Lost != nil && ctx.Err() == nil && (passing(e) || e.Retryable) {
				o.Lost(e)
			}
			if err := silence.wait(ctx, e); err != nil {
				yield(Event{}, err)
				return
			}
		}
	}
}

// watchOnce watches over one connection. It reports whether the loop was left.
func (c *Client) watchOnce(ctx context.Context, req *xferv1.WatchTransfersRequest, silence *outage, yield func(Event, error) bool) (bool, error) {
	stream, err := c.transfers.WatchTransfers(ctx, req)
	if err != nil {
		return false, err
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return false, err
		}
		silence.over()
		if m.GetWatchToken() != "" {
			req.WatchToken = m.GetWatchToken()
		}
		if m.GetEvent() == nil {
			continue // it says that the stream lives
		}
		e := Event{
			Transfer: m.GetTransfer(), Lost: m.GetOwnerLost(), Returned: m.GetOwnerReturned(),
			CaughtUp: m.GetCaughtUp() != nil, Token: m.GetWatchToken(),
		}
		if !yield(e, nil) {
			return true, nil
		}
	}
}

// WatchNodes tells of nodes as they change, as Watch does of transfers. After a
// break of the connection all nodes may be told anew.
func (c *Client) WatchNodes(ctx context.Context) iter.Seq2[*xferv1.Node, error] {
	return func(yield func(*xferv1.Node, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		req, silence := &xferv1.WatchNodesRequest{}, outage{patience: c.patience}
		once := func() (bool, error) {
			stream, err := c.nodes.WatchNodes(ctx, req)
			if err != nil {
				return false, err
			}
			for {
				m, err := stream.Recv()
				if err != nil {
					return false, err
				}
				silence.over()
				if m.GetWatchToken() != "" {
					req.WatchToken = m.GetWatchToken()
				}
				if m.GetNode() != nil && !yield(m.GetNode(), nil) {
					return true, nil
				}
			}
		}
		for {
			left, err := once()
			if left {
				return
			}
			e := AsError(err)
			if e.Reason == xferv1.Reason_REASON_COMPACTED.Name() && req.WatchToken != "" {
				req.WatchToken = ""
				continue
			}
			if err := silence.wait(ctx, e); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}
