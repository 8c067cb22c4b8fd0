package server

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// smallToken is the number of owners up to which every piece of news carries a
// token of all of them; beyond, tokens come with the heartbeat.
const smallToken = 8

// news is what one owner has to tell.
type news struct {
	node transfer.NodeID
	msg  *xferv1.WatchTransfersResponse
}

// watchAll tells of the transfers of all owners: one follower for each, and
// this goroutine to tell. Followers wait while the watcher is behind.
func (s *Server) watchAll(ctx context.Context, req *xferv1.WatchTransfersRequest, w watch, emit watchEmit) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	told, joined := make(chan news), make(chan []Node)
	dial := make(chan struct{}, fanOutWidth) // at most so many connect at once
	followed, pending := map[transfer.NodeID]bool{}, map[transfer.NodeID]bool{}
	follow := func(nodes []Node) {
		for _, n := range nodes {
			if n.State == NodeLeft || followed[n.ID] {
				continue
			}
			followed[n.ID], pending[n.ID] = true, true
			f := follower{s: s, node: n.ID, req: req, w: w, token: w.marks[string(n.ID)], told: told, dial: dial}
			wg.Go(func() { f.run(ctx) })
		}
	}
	nodes, revision := s.cfg.Nodes.List()
	follow(nodes)
	wg.Go(func() { s.newNodes(ctx, revision, joined) })

	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for caughtUp := false; ; {
		if !caughtUp && len(pending) == 0 {
			caughtUp = true
			m := &xferv1.WatchTransfersResponse{Event: &xferv1.WatchTransfersResponse_CaughtUp{CaughtUp: &xferv1.CaughtUp{}}, WatchToken: w.token()}
			if err := emit(m); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case nodes := <-joined:
			follow(nodes)
		case <-beat.C:
			if err := emit(&xferv1.WatchTransfersResponse{WatchToken: w.token()}); err != nil {
				return err
			}
		case n := <-told:
			m := n.msg
			if m.GetWatchToken() != "" {
				w.marks[string(n.node)] = m.GetWatchToken()
			}
			switch {
			case m.GetCaughtUp() != nil: // it is told once, for all
				if delete(pending, n.node); !caughtUp {
					continue
				}
				m = &xferv1.WatchTransfersResponse{}
			case m.GetOwnerLost() != nil:
				delete(pending, n.node)
			case m.GetEvent() == nil:
				continue // a heartbeat
			}
			m = &xferv1.WatchTransfersResponse{Event: m.GetEvent()}
			if len(w.marks) <= smallToken {
				m.WatchToken = w.token()
			}
			if m.GetEvent() == nil && m.GetWatchToken() == "" {
				continue
			}
			if err := emit(m); err != nil {
				return err
			}
		}
	}
}

// token is that of all owners.
func (w *watch) token() string {
	t := token{kind: tokenMarks}
	for node, tok := range w.marks {
		t.marks = append(t.marks, nodeMark{node, tok})
	}
	slices.SortFunc(t.marks, func(a, b nodeMark) int { return cmp.Compare(a.node, b.node) })
	return t.String()
}

// newNodes passes on the nodes that change, until ctx ends.
func (s *Server) newNodes(ctx context.Context, since uint64, out chan<- []Node) {
	for ctx.Err() == nil {
		nodes, next, err := s.cfg.Nodes.Changes(ctx, since)
		if err != nil { // a view of another time: take it as it is now
			nodes, next = s.cfg.Nodes.List()
			_ = sleep(ctx, time.Second)
		}
		since = next
		select {
		case out <- nodes:
		case <-ctx.Done():
		}
	}
}

// follower watches one owner for a watcher of all.
type follower struct {
	s     *Server
	node  transfer.NodeID
	req   *xferv1.WatchTransfersRequest
	w     watch
	token string
	told  chan<- news
	dial  chan struct{}

	lost  bool // was told, and not taken back
	again bool // begins anew, since the token was too old
}

const (
	followRetry    = time.Second
	maxFollowRetry = 15 * time.Second
)

// run follows until ctx ends, connecting again with a growing pause.
func (f *follower) run(ctx context.Context) {
	pause := followRetry
	for ctx.Err() == nil {
		got := false
		err := f.once(ctx, func(m *xferv1.WatchTransfersResponse) error {
			got = true
			return f.tell(ctx, m)
		})
		if ctx.Err() != nil {
			return
		}
		if got {
			pause = followRetry
		}
		switch reason := reasonOf(err); reason {
		case transfer.Compacted, transfer.InvalidPageToken:
			f.token, f.again = "", true
		case transfer.SlowConsumer: // our watcher is behind, not the owner
		default:
			if !f.lost {
				f.lost = true
				lost := &xferv1.OwnerLost{Node: string(f.node), Detail: clip(errorText(err))}
				_ = f.send(ctx, &xferv1.WatchTransfersResponse{Event: &xferv1.WatchTransfersResponse_OwnerLost{OwnerLost: lost}})
			}
		}
		_ = sleep(ctx, pause/2+rand.N(pause))
		pause = min(2*pause, maxFollowRetry)
	}
}

// tell passes a message of the owner on, after the news that it is back.
func (f *follower) tell(ctx context.Context, m *xferv1.WatchTransfersResponse) error {
	if f.lost || f.again {
		// One that was away when the watch began tells all that it remembers as well.
		back := &xferv1.OwnerReturned{Node: string(f.node), FromBeginning: f.again || f.token == ""}
		if err := f.send(ctx, &xferv1.WatchTransfersResponse{Event: &xferv1.WatchTransfersResponse_OwnerReturned{OwnerReturned: back}}); err != nil {
			return err
		}
		f.lost, f.again = false, false
	}
	if err := f.send(ctx, m); err != nil {
		return err
	}
	if m.GetWatchToken() != "" {
		f.token = m.GetWatchToken()
	}
	return nil
}

func (f *follower) send(ctx context.Context, m *xferv1.WatchTransfersResponse) error {
	select {
	case f.told <- news{f.node, m}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once watches the owner over one connection. It returns nil never.
func (f *follower) once(ctx context.Context, tell watchEmit) error {
	if f.node == f.s.cfg.Self {
		return f.s.watchOwn(ctx, f.w, f.token, tell)
	}
	select {
	case f.dial <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	var release sync.Once
	free := func() { release.Do(func() { <-f.dial }) }
	defer free()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The first word has to come soon, and then one with every heartbeat. Time
	// that the watcher takes does not count.
	silent := time.AfterFunc(fanOutTimeout, func() { cancel(errSilent) })
	defer silent.Stop()
	one := proto.CloneOf(f.req)
	one.Parent, one.WatchToken = "nodes/"+string(f.node), f.token
	err := f.s.watchOther(ctx, f.node, one, func(m *xferv1.WatchTransfersResponse) error {
		silent.Stop()
		free()
		defer silent.Reset(deadAfter)
		return tell(m)
	})
	if errors.Is(context.Cause(ctx), errSilent) {
		return errSilent
	}
	return err
}

var errSilent = errors.New("it does not answer")

// reasonOf returns the reason of an error of this node or of another.
func reasonOf(err error) transfer.Reason {
	if st, ok := status.FromError(err); ok {
		for _, d := range st.Details() {
			if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == xferv1.Domain {
				return transfer.Reason(info.GetReason())
			}
		}
	}
	return transfer.ReasonOf(err)
}

// errorText is what to tell people of an error.
func errorText(err error) string {
	if st, ok := status.FromError(err); ok {
		return st.Message()
	}
	return err.Error()
}
