package server

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// watcher reads one watch.
type watcher struct {
	t      *testing.T
	stream grpc.ServerStreamingClient[xferv1.WatchTransfersResponse]
	cancel context.CancelFunc
	token  string // the last one
}

func (n *fakeNode) watch(t *testing.T, who string, req *xferv1.WatchTransfersRequest) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(as(t, who))
	t.Cleanup(cancel)
	if req.MinInterval == nil {
		req.MinInterval = durationpb.New(0)
	}
	s, err := n.transfers().WatchTransfers(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return &watcher{t: t, stream: s, cancel: cancel}
}

// next returns the next news as a word.
func (w *watcher) next() string {
	w.t.Helper()
	for {
		m, err := w.stream.Recv()
		if err != nil {
			return string(reasonOf(err))
		}
		if m.GetWatchToken() != "" {
			w.token = m.GetWatchToken()
		}
		switch e := m.GetEvent().(type) {
		case *xferv1.WatchTransfersResponse_Transfer:
			return e.Transfer.GetName() + " " + e.Transfer.GetState().String()
		case *xferv1.WatchTransfersResponse_CaughtUp:
			return "caught up"
		case *xferv1.WatchTransfersResponse_OwnerLost:
			return "lost " + e.OwnerLost.GetNode()
		case *xferv1.WatchTransfersResponse_OwnerReturned:
			return fmt.Sprintf("returned %s %t", e.OwnerReturned.GetNode(), e.OwnerReturned.GetFromBeginning())
		}
	}
}

// want reads the news that are expected, in any order.
func (w *watcher) want(words ...string) {
	w.t.Helper()
	left := map[string]int{}
	for _, s := range words {
		left[s]++
	}
	for range words {
		got := w.next()
		if left[got]--; left[got] < 0 {
			w.t.Fatalf("heard %q, want %v", got, words)
		}
	}
}

func TestWatchOwn(t *testing.T) {
	c := newCluster(t, "n1", "n2")
	e := c.nodes["n1"].engine
	e.add("a", "ann")
	e.add("b", "bob")
	for _, at := range []transfer.NodeID{"n1", "n2"} { // here, and through another node
		w := c.nodes[at].watch(t, "ann", &xferv1.WatchTransfersRequest{Parent: "nodes/n1"})
		w.want("nodes/n1/transfers/a STATE_QUEUED")
		w.want("caught up")
		e.set("b", func(tr *transfer.Transfer) { tr.State = transfer.StateRunning })
		e.set("a", func(tr *transfer.Transfer) { tr.State = transfer.StateRunning })
		w.want("nodes/n1/transfers/a STATE_RUNNING")
		w.cancel()

		// While nobody watches a goes on and ends, and c comes.
		e.set("a", func(tr *transfer.Transfer) { tr.State = transfer.StatePausing })
		e.set("a", func(tr *transfer.Transfer) { tr.State = transfer.StateFailed })
		e.add("c", "ann")
		w2 := c.nodes[at].watch(t, "ann", &xferv1.WatchTransfersRequest{Parent: "nodes/n1", WatchToken: w.token})
		w2.want("nodes/n1/transfers/a STATE_FAILED")
		w2.want("nodes/n1/transfers/c STATE_QUEUED")
		w2.want("caught up")
		w2.cancel()
		e.set("a", func(tr *transfer.Transfer) { tr.State = transfer.StateQueued })
		e.mu.Lock()
		delete(e.all, "c")
		e.mu.Unlock()
	}
}

// TestListThenWatch: nothing that happens between the pages of a list is missed.
func TestListThenWatch(t *testing.T) {
	c := newCluster(t, "n1", "n2")
	n := c.nodes["n1"]
	for i := range 3 {
		n.engine.add(fmt.Sprint("t", i), "ann")
	}
	for _, parent := range []string{"nodes/n1", "nodes/-"} {
		req := &xferv1.ListTransfersRequest{Parent: parent, PageSize: 1}
		first, err := n.transfers().ListTransfers(as(t, "ann"), req)
		if err != nil {
			t.Fatal(err)
		}
		n.engine.set("t0", func(tr *transfer.Transfer) { tr.State = transfer.StateSucceeded })
		req.PageToken = first.GetNextPageToken()
		_, _, last := pages(t, n, "ann", req)
		w := n.watch(t, "ann", &xferv1.WatchTransfersRequest{Parent: parent, WatchToken: last.GetWatchToken()})
		w.want("nodes/n1/transfers/t0 STATE_SUCCEEDED", "caught up")
		w.cancel()
		n.engine.set("t0", func(tr *transfer.Transfer) { tr.State = transfer.StateQueued })
	}
}

func TestWatchRefusals(t *testing.T) {
	c := newCluster(t, "n1")
	n := c.nodes["n1"]
	n.engine.add("a", "ann")
	future := n.server.markToken(transfer.Mark{State: n.engine.state, Revision: 99})
	restored := n.server.markToken(transfer.Mark{State: "another", Revision: 1})
	page := (&token{kind: tokenList}).String()
	for name, x := range map[string]struct {
		req  *xferv1.WatchTransfersRequest
		want transfer.Reason
	}{
		"no parent":          {&xferv1.WatchTransfersRequest{}, transfer.InvalidSpec},
		"unknown node":       {&xferv1.WatchTransfersRequest{Parent: "nodes/n9"}, transfer.NodeUnknown},
		"unknown view":       {&xferv1.WatchTransfersRequest{Parent: "nodes/n1", View: 9}, transfer.InvalidSpec},
		"negative interval":  {&xferv1.WatchTransfersRequest{Parent: "nodes/n1", MinInterval: durationpb.New(-1)}, transfer.InvalidSpec},
		"long interval":      {&xferv1.WatchTransfersRequest{Parent: "nodes/n1", MinInterval: durationpb.New(1e12)}, transfer.InvalidSpec},
		"garbage":            {&xferv1.WatchTransfersRequest{Parent: "nodes/n1", WatchToken: "x"}, transfer.InvalidPageToken},
		"a page token":       {&xferv1.WatchTransfersRequest{Parent: "nodes/n1", WatchToken: page}, transfer.InvalidPageToken},
		"from the future":    {&xferv1.WatchTransfersRequest{Parent: "nodes/n1", WatchToken: future}, transfer.Compacted},
		"of another state":   {&xferv1.WatchTransfersRequest{Parent: "nodes/n1", WatchToken: restored}, transfer.Compacted},
		"of somebody else's": {&xferv1.WatchTransfersRequest{Parent: "nodes/n1", Filter: &xferv1.TransferFilter{Principal: "bob"}}, transfer.PermissionDenied},
	} {
		if got := n.watch(t, "ann", x.req).next(); got != string(x.want) {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
}

// TestTooManyWatches: a principal has three here.
func TestTooManyWatches(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	var open []*watcher
	for range 3 {
		w := n.watch(t, "ann", &xferv1.WatchTransfersRequest{Parent: "nodes/n1"})
		w.want("caught up")
		open = append(open, w)
	}
	n.watch(t, "ann", &xferv1.WatchTransfersRequest{Parent: "nodes/n1"}).want(string(transfer.TooManyWatches))
	n.watch(t, "bob", &xferv1.WatchTransfersRequest{Parent: "nodes/n1"}).want("caught up")
	open[0].cancel()
	open[0].next()
	for { // the server learns of it in a moment
		w := n.watch(t, "ann", &xferv1.WatchTransfersRequest{Parent: "nodes/n1"})
		if got := w.next(); got == "caught up" {
			return
		} else if got != string(transfer.TooManyWatches) {
			t.Fatal(got)
		}
	}
}

func TestWatchAll(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3")
	for id, n := range c.nodes {
		n.engine.add("of-"+string(id), "ann")
	}
	n := c.nodes["n1"]
	n.down["n3"] = true
	w := n.watch(t, "ann", &xferv1.WatchTransfersRequest{Parent: "nodes/-"})
	w.want("nodes/n1/transfers/of-n1 STATE_QUEUED", "nodes/n2/transfers/of-n2 STATE_QUEUED", "lost n3")
	w.want("caught up")
	c.nodes["n2"].engine.set("of-n2", func(tr *transfer.Transfer) { tr.State = transfer.StateSucceeded })
	w.want("nodes/n2/transfers/of-n2 STATE_SUCCEEDED")
	c.nodes["n3"].engine.set("of-n3", func(tr *transfer.Transfer) { tr.State = transfer.StateCancelled })
	n.mu.Lock()
	n.down["n3"] = false
	n.mu.Unlock()
	w.want("returned n3 true") // it was away when the watch began: what it tells may be old
	w.want("nodes/n3/transfers/of-n3 STATE_CANCELLED")

	// A node that joins is watched too.
	n4 := c.start("n4", nil)
	n4.engine.add("of-n4", "ann")
	n.members.put(Node{ID: "n4", State: NodeAlive})
	w.want("nodes/n4/transfers/of-n4 STATE_QUEUED")
	// An owner that lost its state is told anew.
	w.cancel()
	c.nodes["n2"].engine.set("of-n2", func(*transfer.Transfer) { c.nodes["n2"].engine.state = "restored" })
	for _, id := range []transfer.NodeID{"n1", "n2"} {
		c.nodes[id].engine.set("of-"+string(id), func(tr *transfer.Transfer) { tr.State = transfer.StateRunning })
	}
	w2 := n.watch(t, "ann", &xferv1.WatchTransfersRequest{Parent: "nodes/-", WatchToken: w.token})
	heard := map[string]int{}
	for word := ""; word != "caught up"; heard[word]++ {
		word = w2.next()
	}
	// What came last may be told again.
	delete(heard, "nodes/n3/transfers/of-n3 STATE_CANCELLED")
	delete(heard, "nodes/n4/transfers/of-n4 STATE_QUEUED")
	want := map[string]int{"nodes/n1/transfers/of-n1 STATE_RUNNING": 1, "returned n2 true": 1, "nodes/n2/transfers/of-n2 STATE_RUNNING": 1, "caught up": 1}
	if !maps.Equal(heard, want) {
		t.Errorf("heard %v", heard)
	}
}

// TestCloseEndsWatches and waits, with a reason to try elsewhere or later.
func TestCloseEndsWatches(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	n.engine.add("a", "ann")
	w := n.watch(t, "ann", &xferv1.WatchTransfersRequest{Parent: "nodes/n1"})
	w.want("nodes/n1/transfers/a STATE_QUEUED", "caught up")
	all := n.watch(t, "ann", &xferv1.WatchTransfersRequest{Parent: "nodes/-"})
	all.want("nodes/n1/transfers/a STATE_QUEUED", "caught up")
	waited := make(chan error)
	go func() {
		_, err := n.transfers().WaitTransfer(as(t, "ann"), &xferv1.WaitTransferRequest{Name: "nodes/n1/transfers/a"})
		waited <- err
	}()
	nodes, err := n.nodes().WatchNodes(as(t, "ann"), &xferv1.WatchNodesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nodes.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := n.server.Close(); err != nil {
		t.Fatal(err)
	}
	w.want(string(transfer.NodeStopping))
	all.want(string(transfer.NodeStopping))
	wantReason(t, "wait", <-waited, transfer.NodeStopping)
	_, err = nodes.Recv()
	wantReason(t, "watch of nodes", err, transfer.NodeStopping)
	n.watch(t, "ann", &xferv1.WatchTransfersRequest{Parent: "nodes/n1"}).want(string(transfer.NodeStopping))
}

func TestWatchNodes(t *testing.T) {
	n := newCluster(t, "n1", "n2").nodes["n1"]
	watch := func(token string) grpc.ServerStreamingClient[xferv1.WatchNodesResponse] {
		s, err := n.nodes().WatchNodes(as(t, "ann"), &xferv1.WatchNodesRequest{WatchToken: token})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := watch("")
	var token string
	recv := func() *xferv1.Node {
		m, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if m.GetWatchToken() != "" {
			token = m.GetWatchToken()
		}
		return m.GetNode()
	}
	if a, b := recv(), recv(); a.GetName() != "nodes/n1" || b.GetName() != "nodes/n2" {
		t.Errorf("at first: %v, %v", a, b)
	}
	n.members.put(Node{ID: "n3", State: NodeAlive})
	if got := recv(); got.GetName() != "nodes/n3" {
		t.Errorf("then %v", got)
	}
	n.members.put(Node{ID: "n3", State: NodeFailed})
	s = watch(token)
	if got := recv(); got.GetState() != xferv1.NodeState_NODE_STATE_FAILED {
		t.Errorf("resumed at %v", got)
	}
	for name, tok := range map[string]string{
		"another start": (&mark{kind: tokenNodeMark, text: "n1", inner: "view-0"}).String(),
		"another node":  (&mark{kind: tokenNodeMark, text: "n2", inner: "view-1"}).String(),
		"the future":    (&mark{kind: tokenNodeMark, text: "n1", inner: "view-1", number: 99}).String(),
	} {
		_, err := watch(tok).Recv()
		wantReason(t, name, err, transfer.Compacted)
	}
	_, err := watch("garbage").Recv()
	wantReason(t, "garbage", err, transfer.InvalidPageToken)
}

type mark = token // in a function that has a token
