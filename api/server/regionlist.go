package server

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

func (s *regionService) ListRegions(ctx context.Context, req *xferv1.ListRegionsRequest) (*xferv1.ListRegionsResponse, error) {
	node, all, err := parseParent("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(req.GetPageSize(), defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	if all {
		return s.listAllRegions(ctx, req, limit)
	}
	if resp, err := elsewhere(s.Server, ctx, node, xferv1.NewRegionServiceClient, xferv1.RegionServiceClient.ListRegions, req); resp != nil || err != nil {
		return resp, err
	}
	return s.listOwnRegions(ctx, req, limit)
}

// listOwnRegions returns a page of this node's regions, by id.
func (s *regionService) listOwnRegions(ctx context.Context, req *xferv1.ListRegionsRequest, limit int) (*xferv1.ListRegionsResponse, error) {
	at := &token{kind: tokenRegions, request: requestHash(req, callOf(ctx).Principal)}
	if req.GetPageToken() != "" {
		t, err := parseToken("page_token", req.GetPageToken(), tokenRegions, at.request)
		if err != nil {
			return nil, err
		}
		at = t
	}
	resp, size := &xferv1.ListRegionsResponse{}, 0
	if s.cfg.Regions == nil { // it has none
		return resp, nil
	}
	list := s.cfg.Regions.List(seesAs(ctx), at.text, limit+1)
	for i := range list {
		m := s.regionOut(&list[i])
		if size += proto.Size(m); i == limit || i > 0 && size > pageBytes {
			resp.NextPageToken = at.String()
			return resp, nil
		}
		resp.Regions = append(resp.Regions, m)
		at.text = list[i].ID
	}
	return resp, nil
}

// listAllRegions returns a page over all nodes, by node and id. It asks up to 32 of
// them ahead, each for as many as still fit.
func (s *regionService) listAllRegions(ctx context.Context, req *xferv1.ListRegionsRequest, limit int) (*xferv1.ListRegionsResponse, error) {
	if callOf(ctx).forwardedBy != "" {
		return nil, s.denied("a call over all nodes is not forwarded")
	}
	at := &token{kind: tokenRegionsAll, request: requestHash(req, callOf(ctx).Principal)}
	if req.GetPageToken() != "" {
		t, err := parseToken("page_token", req.GetPageToken(), tokenRegionsAll, at.request)
		if err != nil {
			return nil, err
		}
		at = t
	}
	resp, size := &xferv1.ListRegionsResponse{}, 0
	cut := func(node transfer.NodeID, inner string) (*xferv1.ListRegionsResponse, error) {
		next := token{kind: tokenRegionsAll, request: at.request, text: string(node), inner: inner}
		resp.NextPageToken = next.String()
		return resp, nil
	}
	for nodes := s.owners(at.text); len(nodes) > 0; {
		batch := nodes[:min(len(nodes), fanOutWidth)]
		nodes = nodes[len(batch):]
		for i, p := range s.askRegions(ctx, req, batch, at, limit-len(resp.Regions)) {
			node := batch[i].ID
			if p == nil {
				resp.Unreachable = append(resp.Unreachable, string(node))
				continue
			}
			own := proto.Size(p)
			// A page that does not fit any more is asked for again later.
			if n := len(resp.Regions); n > 0 && (n+len(p.GetRegions()) > limit || size+own > pageBytes) {
				return cut(node, at.innerOf(node))
			}
			size += own
			resp.Regions = append(resp.Regions, p.GetRegions()...)
			if p.GetNextPageToken() != "" {
				return cut(node, p.GetNextPageToken())
			}
			if len(resp.Regions) == limit {
				rest := append(batch[i+1:len(batch):len(batch)], nodes...)
				if len(rest) > 0 {
					return cut(rest[0].ID, "")
				}
			}
		}
	}
	return resp, nil
}

// askRegions asks nodes for a page each, at once. A nil page is a node that did not
// answer.
func (s *regionService) askRegions(ctx context.Context, req *xferv1.ListRegionsRequest, nodes []Node, at *token, limit int) []*xferv1.ListRegionsResponse {
	pages := make([]*xferv1.ListRegionsResponse, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			one := proto.CloneOf(req)
			one.Parent, one.PageSize, one.PageToken = "nodes/"+string(n.ID), int32(limit), at.innerOf(n.ID)
			ctx, cancel := context.WithTimeout(ctx, fanOutTimeout)
			defer cancel()
			page, err := s.regionsOf(ctx, n, one)
			if reasonOf(err) == transfer.Unsupported { // an older node, which has none
				page, err = &xferv1.ListRegionsResponse{}, nil
			}
			if err != nil {
				s.cfg.Log.Debug("no regions of a node", "node", n.ID, "error", err)
				return
			}
			pages[i] = page
		})
	}
	wg.Wait()
	return pages
}

// regionsOf returns one node's page.
func (s *regionService) regionsOf(ctx context.Context, n Node, req *xferv1.ListRegionsRequest) (*xferv1.ListRegionsResponse, error) {
	if n.ID == s.cfg.Self {
		return s.listOwnRegions(ctx, req, int(req.GetPageSize()))
	}
	if n.State != NodeAlive { // it would only use up the time
		return nil, &transfer.Error{Reason: transfer.OwnerUnreachable, Node: n.ID}
	}
	return elsewhere(s.Server, ctx, n.ID, xferv1.NewRegionServiceClient, xferv1.RegionServiceClient.ListRegions, req)
}
