package server

import (
	"context"
	"time"

	"google.golang.org/grpc"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

const (
	watchInterval    = 100 * time.Millisecond // between two rounds of news, by default
	maxWatchInterval = time.Minute
	snapshotPage     = 500 // transfers asked of the engine at once
)

// watchEmit hands one piece of news on. It blocks while the watcher is behind:
// the engine does not wait, and what changes meanwhile is told as one.
type watchEmit func(*xferv1.WatchTransfersResponse) error

func (s *transferService) WatchTransfers(req *xferv1.WatchTransfersRequest, stream grpc.ServerStreamingServer[xferv1.WatchTransfersResponse]) error {
	ctx := stream.Context()
	node, all, err := parseParent("parent", req.GetParent())
	if err != nil {
		return err
	}
	w, err := s.watchIn(ctx, req)
	if err != nil {
		return err
	}
	done, err := s.addWatch(ctx)
	if err != nil {
		return err
	}
	defer done()
	p, err := newPump(s.Server, stream.Send)
	if err != nil {
		return err
	}
	defer p.close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.stopped, func() { cancel(s.stopping()) })()
	emit := func(m *xferv1.WatchTransfersResponse) error { return p.send(ctx, m) }
	switch {
	case all && callOf(ctx).forwardedBy != "":
		return s.denied("a call over all nodes is not forwarded")
	case all:
		err = s.watchAll(ctx, req, w, emit)
	case node == s.cfg.Self:
		err = s.watchOwn(ctx, w, w.marks[string(node)], emit)
	default:
		err = s.watchOther(ctx, node, req, emit)
	}
	if ctx.Err() != nil { // tell why, not that something was cut off
		return context.Cause(ctx)
	}
	return err
}

// watch is a request to watch, checked.
type watch struct {
	query    transfer.Query
	full     bool
	interval time.Duration
	marks    map[string]string // watch token of each owner
}

func (s *Server) watchIn(ctx context.Context, req *xferv1.WatchTransfersRequest) (w watch, err error) {
	if w.query, err = s.queryIn(ctx, req.GetFilter()); err != nil {
		return w, err
	}
	if w.full, err = views.in("view", req.GetView()); err != nil {
		return w, err
	}
	w.interval = watchInterval
	if d := req.GetMinInterval(); d != nil {
		w.interval = d.AsDuration()
		if d.CheckValid() != nil || w.interval < 0 || w.interval > maxWatchInterval {
			return w, invalid("min_interval", "it is not in 0..%s", maxWatchInterval)
		}
	}
	w.marks = map[string]string{}
	if req.GetWatchToken() != "" {
		t, err := parseToken("watch_token", req.GetWatchToken(), tokenMarks, 0)
		if err != nil {
			return w, err
		}
		if t.text != "" {
			w.marks[t.text] = req.GetWatchToken()
		}
		for _, m := range t.marks {
			w.marks[m.node] = m.token
		}
	}
	return w, nil
}

// watchOwn tells of this node's transfers until ctx ends or emit fails.
func (s *Server) watchOwn(ctx context.Context, w watch, from string, emit watchEmit) error {
	var mark transfer.Mark
	if from != "" {
		t, err := parseToken("watch_token", from, tokenMarks, 0)
		if err != nil {
			return err
		}
		mark = transfer.Mark{State: t.inner, Revision: t.number}
	} else {
		m, err := s.snapshot(ctx, w, emit)
		if err != nil {
			return err
		}
		mark = m
	}
	for caughtUp := false; ; {
		wait := heartbeat
		if !caughtUp {
			wait = 0 // only what changed up to now
		}
		c, cancel := context.WithTimeout(ctx, wait)
		list, next, err := s.cfg.Engine.Changes(c, w.query, mark)
		cancel()
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		mark = next
		for i := range list {
			m := &xferv1.WatchTransfersResponse{Event: &xferv1.WatchTransfersResponse_Transfer{Transfer: transferOut(&list[i], w.full)}}
			if i == len(list)-1 {
				m.WatchToken = s.markToken(mark)
			}
			if err := emit(m); err != nil {
				return err
			}
		}
		switch {
		case !caughtUp:
			caughtUp = true
			err = emit(&xferv1.WatchTransfersResponse{
				Event:      &xferv1.WatchTransfersResponse_CaughtUp{CaughtUp: &xferv1.CaughtUp{}},
				WatchToken: s.markToken(mark),
			})
		case len(list) == 0:
			err = emit(&xferv1.WatchTransfersResponse{WatchToken: s.markToken(mark)})
		}
		if err != nil {
			return err
		}
		if err := sleep(ctx, w.interval); err != nil {
			return err
		}
	}
}

// snapshot tells of all transfers that there are, and returns the mark from
// which on changes are still to be told.
func (s *Server) snapshot(ctx context.Context, w watch, emit watchEmit) (transfer.Mark, error) {
	var place transfer.Position
	list, mark, err := s.cfg.Engine.List(ctx, w.query, place, snapshotPage)
	for ; err == nil; list, _, err = s.cfg.Engine.List(ctx, w.query, place, snapshotPage) {
		for i := range list {
			m := &xferv1.WatchTransfersResponse{Event: &xferv1.WatchTransfersResponse_Transfer{Transfer: transferOut(&list[i], w.full)}}
			if err := emit(m); err != nil {
				return mark, err
			}
			place = transfer.PositionOf(&list[i])
		}
		if len(list) < snapshotPage {
			return mark, nil
		}
	}
	return mark, err
}

// watchOther relays the watch of another node.
func (s *Server) watchOther(ctx context.Context, node transfer.NodeID, req *xferv1.WatchTransfersRequest, emit watchEmit) error {
	conn, err := s.route(ctx, node)
	if err != nil {
		return err
	}
	stream, err := xferv1.NewTransferServiceClient(conn).WatchTransfers(s.forwarding(ctx), req)
	if err != nil {
		return remoteError(ctx, node, err)
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return remoteError(ctx, node, err)
		}
		if err := emit(m); err != nil {
			return err
		}
	}
}

// sleep waits, and returns the error of ctx when that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
