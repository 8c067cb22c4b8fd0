package server

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// nodeService has the handlers of NodeService.
type nodeService struct {
	xferv1.UnimplementedNodeServiceServer
	*Server
}

func (s *nodeService) ListNodes(ctx context.Context, req *xferv1.ListNodesRequest) (*xferv1.ListNodesResponse, error) {
	limit, err := pageSize(req.GetPageSize(), defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	after := ""
	if req.GetPageToken() != "" {
		t, err := parseToken("page_token", req.GetPageToken(), tokenNodes, 0)
		if err != nil {
			return nil, err
		}
		after = t.text
	}
	nodes, _ := s.cfg.Nodes.List()
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	nodes = slices.DeleteFunc(nodes, func(n Node) bool { return string(n.ID) <= after })
	resp := &xferv1.ListNodesResponse{}
	for i := range nodes[:min(len(nodes), limit)] {
		m := nodeOut(&nodes[i])
		if nodes[i].ID == s.cfg.Self {
			s.report(ctx, m)
		}
		resp.Nodes = append(resp.Nodes, m)
	}
	if len(nodes) > limit {
		resp.NextPageToken = (&token{kind: tokenNodes, text: string(nodes[limit-1].ID)}).String()
	}
	return resp, nil
}

// known returns a node as this one knows it.
func (s *Server) known(id transfer.NodeID) (Node, error) {
	nodes, _ := s.cfg.Nodes.List()
	for _, n := range nodes {
		if n.ID == id {
			return n, nil
		}
	}
	return Node{}, &transfer.Error{
		Reason: transfer.NodeUnknown, Side: transfer.SideOwner, Node: s.cfg.Self,
		Err: fmt.Errorf("no node %q is known here", id), Hint: "«xferctl nodes» lists those that are",
	}
}

func (s *nodeService) GetNode(ctx context.Context, req *xferv1.GetNodeRequest) (*xferv1.GetNodeResponse, error) {
	id, err := parseNode("name", req.GetName())
	if err != nil {
		return nil, err
	}
	n, err := s.known(id)
	if err != nil {
		return nil, err
	}
	if id != s.cfg.Self && callOf(ctx).forwardedBy == "" {
		c, cancel := context.WithTimeout(ctx, fanOutTimeout)
		defer cancel()
		resp, err := elsewhere(s.Server, c, id, xferv1.NewNodeServiceClient, xferv1.NodeServiceClient.GetNode, req)
		if err == nil {
			return resp, nil
		}
		s.cfg.Log.Debug("no report of a node", "node", id, "error", err)
	}
	m := nodeOut(&n)
	if id == s.cfg.Self {
		s.report(ctx, m)
		if err := s.reportRDMA(ctx, req.GetRouteTo(), m); err != nil {
			return nil, err
		}
	}
	return &xferv1.GetNodeResponse{Node: m}, nil
}

// report adds what only the node itself can tell.
func (s *Server) report(ctx context.Context, m *xferv1.Node) {
	load := s.cfg.Nodes.Load()
	m.OwnReport = true
	m.TransfersQueued, m.TransfersRunning = int32(load.Queued), int32(load.Running)
	for _, e := range s.allowedExports(ctx) {
		m.Exports = append(m.Exports, &xferv1.Export{Path: []byte(e.Path), Writable: e.Mode == fsroot.ReadWrite})
	}
	for _, f := range s.cfg.Nodes.Failing() {
		m.FailingFileSystems = append(m.FailingFileSystems, &xferv1.FailingFileSystem{
			Path: []byte(f.Dir), SinceTime: timestamppb.New(f.Since), Message: f.Err.Error(),
		})
	}
}

func (s *nodeService) WatchNodes(req *xferv1.WatchNodesRequest, stream grpc.ServerStreamingServer[xferv1.WatchNodesResponse]) error {
	var since uint64
	resumed := req.GetWatchToken() != ""
	if resumed {
		t, err := parseToken("watch_token", req.GetWatchToken(), tokenNodeMark, 0)
		if err != nil {
			return err
		}
		if t.text != string(s.cfg.Self) || t.inner != s.cfg.Nodes.View() {
			return &transfer.Error{
				Reason: transfer.Compacted, Side: transfer.SideOwner, Node: s.cfg.Self,
				Err: fmt.Errorf("the token is of another node, or of %s before it was started again", t.text), Hint: "watch without a token",
			}
		}
		since = t.number
	}
	done, err := s.addWatch(stream.Context())
	if err != nil {
		return err
	}
	defer done()
	p, err := newPump(s.Server, stream.Send)
	if err != nil {
		return err
	}
	defer p.close()

	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.stopped, func() { cancel(s.stopping()) })()
	err = s.watchNodes(ctx, since, resumed, p)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (s *Server) watchNodes(ctx context.Context, since uint64, resumed bool, p *pump[xferv1.WatchNodesResponse]) error {
	var nodes []Node
	if !resumed {
		nodes, since = s.cfg.Nodes.List()
	}
	for first := !resumed; ; first = false {
		if !first {
			var err error
			wait, cancel := context.WithTimeout(ctx, heartbeat)
			nodes, since, err = s.cfg.Nodes.Changes(wait, since)
			cancel()
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		tok := (&token{kind: tokenNodeMark, text: string(s.cfg.Self), inner: s.cfg.Nodes.View(), number: since}).String()
		for i := range nodes {
			m := &xferv1.WatchNodesResponse{Node: nodeOut(&nodes[i])}
			if i == len(nodes)-1 {
				m.WatchToken = tok
			}
			if err := p.send(ctx, m); err != nil {
				return err
			}
		}
		if len(nodes) == 0 {
			if err := p.send(ctx, &xferv1.WatchNodesResponse{WatchToken: tok}); err != nil {
				return err
			}
		}
		if err := sleep(ctx, watchInterval); err != nil {
			return err
		}
	}
}

func (s *nodeService) DrainNode(ctx context.Context, req *xferv1.DrainNodeRequest) (*xferv1.DrainNodeResponse, error) {
	id, err := parseNode("name", req.GetName())
	if err != nil {
		return nil, err
	}
	if resp, err := elsewhere(s.Server, ctx, id, xferv1.NewNodeServiceClient, xferv1.NodeServiceClient.DrainNode, req); resp != nil || err != nil {
		return resp, err
	}
	n, err := s.drain(ctx, true)
	if err != nil {
		return nil, err
	}
	return &xferv1.DrainNodeResponse{Node: n}, nil
}

func (s *nodeService) UndrainNode(ctx context.Context, req *xferv1.UndrainNodeRequest) (*xferv1.UndrainNodeResponse, error) {
	id, err := parseNode("name", req.GetName())
	if err != nil {
		return nil, err
	}
	if resp, err := elsewhere(s.Server, ctx, id, xferv1.NewNodeServiceClient, xferv1.NodeServiceClient.UndrainNode, req); resp != nil || err != nil {
		return resp, err
	}
	n, err := s.drain(ctx, false)
	if err != nil {
		return nil, err
	}
	return &xferv1.UndrainNodeResponse{Node: n}, nil
}

// drain sets this node's mark and returns the node.
func (s *Server) drain(ctx context.Context, on bool) (*xferv1.Node, error) {
	if err := s.admin(ctx, "drain nodes"); err != nil {
		return nil, err
	}
	if err := s.cfg.Nodes.Drain(ctx, on); err != nil {
		return nil, err
	}
	n, err := s.known(s.cfg.Self)
	if err != nil {
		return nil, err
	}
	n.Draining = on // the view may follow in a moment
	m := nodeOut(&n)
	s.report(ctx, m)
	return m, nil
}
