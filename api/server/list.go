package server

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

func (s *transferService) ListTransfers(ctx context.Context, req *xferv1.ListTransfersRequest) (*xferv1.ListTransfersResponse, error) {
	node, all, err := parseParent("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(req.GetPageSize(), defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	full, err := views.in("view", req.GetView())
	if err != nil {
		return nil, err
	}
	q, err := s.queryIn(ctx, req.GetFilter())
	if err != nil {
		return nil, err
	}
	q.Incoming = req.GetIncoming()
	if all {
		return s.listAll(ctx, req, limit)
	}
	if resp, err := elsewhere(s.Server, ctx, node, xferv1.NewTransferServiceClient, xferv1.TransferServiceClient.ListTransfers, req); resp != nil || err != nil {
		return resp, err
	}
	return s.listOwn(ctx, req, q, limit, full)
}

// queryIn translates a filter. Whoever is no administrator sees its own
// transfers only; at another node that one decides.
func (s *Server) queryIn(ctx context.Context, f *xferv1.TransferFilter) (transfer.Query, error) {
	q := transfer.Query{Principal: f.GetPrincipal()}
	for _, st := range f.GetStates() {
		state, err := states.exact("filter.states", st)
		if err != nil {
			return q, err
		}
		q.States = append(q.States, state)
	}
	labels, err := labelsIn("filter.labels", f.GetLabels())
	if err != nil {
		return q, err
	}
	q.Labels = labels
	if c := callOf(ctx); !c.Admin {
		if q.Principal != "" && q.Principal != c.Principal {
			return q, s.denied("%q may see its own transfers only", c.Principal)
		}
		q.Principal = c.Principal
	}
	return q, nil
}

// listOwn returns a page of this node's transfers.
func (s *Server) listOwn(ctx context.Context, req *xferv1.ListTransfersRequest, q transfer.Query, limit int, full bool) (*xferv1.ListTransfersResponse, error) {
	// The mark of the first page goes along: what changes while somebody pages
	// comes after it.
	at := &token{kind: tokenList, request: requestHash(req, callOf(ctx).Principal)}
	first := req.GetPageToken() == ""
	if !first {
		t, err := parseToken("page_token", req.GetPageToken(), tokenList, at.request)
		if err != nil {
			return nil, err
		}
		at = t
	}
	list, mark, err := s.cfg.Engine.List(ctx, q, at.place, limit+1)
	if err != nil {
		return nil, err
	}
	if first {
		at.inner, at.number = mark.State, mark.Revision
	}
	resp, size := &xferv1.ListTransfersResponse{}, 0
	for i := range list {
		m := transferOut(&list[i], full)
		if size += proto.Size(m); i == limit || i > 0 && size > pageBytes {
			resp.NextPageToken = at.String()
			return resp, nil
		}
		resp.Transfers = append(resp.Transfers, m)
		at.place = transfer.PositionOf(&list[i])
	}
	if !q.Incoming {
		resp.WatchToken = s.markToken(transfer.Mark{State: at.inner, Revision: at.number})
	}
	return resp, nil
}

// markToken is the watch token of this node's own transfers.
func (s *Server) markToken(m transfer.Mark) string {
	return (&token{kind: tokenMarks, text: string(s.cfg.Self), inner: m.State, number: m.Revision}).String()
}

// listAll returns a page over all owners, by node and then by time. It asks up
// to 32 of them ahead, each for as many as still fit.
func (s *Server) listAll(ctx context.Context, req *xferv1.ListTransfersRequest, limit int) (*xferv1.ListTransfersResponse, error) {
	if callOf(ctx).forwardedBy != "" {
		return nil, s.denied("a call over all nodes is not forwarded")
	}
	at := &token{kind: tokenListAll, request: requestHash(req, callOf(ctx).Principal)}
	if req.GetPageToken() != "" {
		t, err := parseToken("page_token", req.GetPageToken(), tokenListAll, at.request)
		if err != nil {
			return nil, err
		}
		at = t
	}
	owners := s.owners(at.text)
	resp, size := &xferv1.ListTransfersResponse{}, 0
	for len(owners) > 0 {
		batch := owners[:min(len(owners), fanOutWidth)]
		owners = owners[len(batch):]
		pages := s.askAll(ctx, req, batch, at, limit-len(resp.Transfers))
		for i, p := range pages {
			if p == nil {
				resp.Unreachable = append(resp.Unreachable, string(batch[i].ID))
				continue
			}
			var own int
			for _, t := range p.GetTransfers() {
				own += proto.Size(t)
			}
			// A page that does not fit any more is asked for again later.
			if n := len(resp.Transfers); n > 0 && (n+len(p.GetTransfers()) > limit || size+own > pageBytes) {
				return s.cut(resp, at, batch[i].ID, at.innerOf(batch[i].ID)), nil
			}
			size += own
			resp.Transfers = append(resp.Transfers, p.GetTransfers()...)
			if p.GetNextPageToken() != "" {
				return s.cut(resp, at, batch[i].ID, p.GetNextPageToken()), nil
			}
			if p.GetWatchToken() != "" {
				at.marks = append(at.marks, nodeMark{string(batch[i].ID), p.GetWatchToken()})
			}
			more := i+1 < len(batch) || len(owners) > 0
			if len(resp.Transfers) == limit && more {
				next := owners
				if i+1 < len(batch) {
					next = batch[i+1:]
				}
				return s.cut(resp, at, next[0].ID, ""), nil
			}
		}
	}
	if !req.GetIncoming() {
		resp.WatchToken = (&token{kind: tokenMarks, marks: at.marks}).String()
	}
	return resp, nil
}

// cut ends a page: the next one begins at a node, there with its own token.
func (s *Server) cut(resp *xferv1.ListTransfersResponse, at *token, node transfer.NodeID, inner string) *xferv1.ListTransfersResponse {
	next := token{kind: tokenListAll, request: at.request, text: string(node), inner: inner, marks: at.marks}
	resp.NextPageToken = next.String()
	return resp
}

// innerOf is the token of the page that was asked of a node.
func (t *token) innerOf(node transfer.NodeID) string {
	if string(node) == t.text {
		return t.inner
	}
	return ""
}

// owners returns the nodes that can have transfers, from one on, by id. Those
// that left are among them: they may only be stopped for a while, and whoever reads
// the list has to know that theirs are missing, as long as the nodes are remembered.
func (s *Server) owners(from string) []Node {
	nodes, _ := s.cfg.Nodes.List()
	nodes = slices.DeleteFunc(nodes, func(n Node) bool { return string(n.ID) < from })
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	return nodes
}

// askAll asks nodes for a page each, at once. A nil page is a node that did not
// answer.
func (s *Server) askAll(ctx context.Context, req *xferv1.ListTransfersRequest, nodes []Node, at *token, limit int) []*xferv1.ListTransfersResponse {
	pages := make([]*xferv1.ListTransfersResponse, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			one := proto.CloneOf(req)
			one.Parent = "nodes/" + string(n.ID)
			one.PageSize = int32(limit)
			one.PageToken = at.innerOf(n.ID)
			ctx, cancel := context.WithTimeout(ctx, fanOutTimeout)
			defer cancel()
			page, err := s.listOf(ctx, n, one)
			if err != nil {
				s.cfg.Log.Debug("no list of a node", "node", n.ID, "error", err)
				return
			}
			pages[i] = page
		})
	}
	wg.Wait()
	return pages
}

// listOf returns one node's page.
func (s *Server) listOf(ctx context.Context, n Node, req *xferv1.ListTransfersRequest) (*xferv1.ListTransfersResponse, error) {
	if n.ID == s.cfg.Self {
		q, err := s.queryIn(ctx, req.GetFilter())
		if err != nil {
			return nil, err
		}
		q.Incoming = req.GetIncoming()
		full, err := views.in("view", req.GetView())
		if err != nil {
			return nil, err
		}
		return s.listOwn(ctx, req, q, int(req.GetPageSize()), full)
	}
	if n.State != NodeAlive { // it would only use up the time
		return nil, &transfer.Error{Reason: transfer.OwnerUnreachable, Node: n.ID}
	}
	return elsewhere(s, ctx, n.ID, xferv1.NewTransferServiceClient, xferv1.TransferServiceClient.ListTransfers, req)
}
