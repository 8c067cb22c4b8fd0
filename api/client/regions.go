package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// Regions is the service itself, for what Client has no method for; see Transfers.
func (c *Client) Regions() xferv1.RegionServiceClient { return c.regions }

// RegionName returns the name of a memory region.
func RegionName(node, id string) string { return "nodes/" + node + "/regions/" + id }

// ParseRegionName takes the name of a region apart.
func ParseRegionName(name string) (node, id string, err error) {
	rest, ok := strings.CutPrefix(name, "nodes/")
	node, id, ok2 := strings.Cut(rest, "/regions/")
	if !ok || !ok2 || node == "" || id == "" || strings.Contains(node, "/") || strings.Contains(id, "/") {
		err := fmt.Errorf("%q is not of the form nodes/{node}/regions/{region_id}", name)
		return "", "", &Error{Reason: xferv1.Reason_REASON_INVALID_SPEC.Name(), ExitCode: 2, Message: err.Error(), Err: err}
	}
	return node, id, nil
}

// RegionSource returns a source: length bytes of a region of the source node from
// offset on, or up to its end where length is negative.
func RegionSource(id string, offset, length int64) *xferv1.Source {
	r := &xferv1.RegionSource{RegionId: id, Offset: offset}
	if length >= 0 {
		r.Length = &length
	}
	return &xferv1.Source{Source: &xferv1.Source_Region{Region: r}}
}

// RegionDestination returns a destination: a region of the target node from offset on.
func RegionDestination(id string, offset int64) *xferv1.Destination {
	return &xferv1.Destination{Destination: &xferv1.Destination_Region{Region: &xferv1.RegionDestination{RegionId: id, Offset: offset}}}
}

// CreateRegion makes a region. Of r only size_bytes is required. It is not repeated
// where the connection breaks: the region may be there or not.
func (c *Client) CreateRegion(ctx context.Context, node, id string, r *xferv1.Region) (*xferv1.Region, error) {
	resp, err := c.regions.CreateRegion(ctx, &xferv1.CreateRegionRequest{Parent: NodeName(node), RegionId: id, Region: r})
	if err != nil {
		return nil, AsError(err)
	}
	return resp.GetRegion(), nil
}

// GetRegion returns a region.
func (c *Client) GetRegion(ctx context.Context, name string) (*xferv1.Region, error) {
	resp, err := call(ctx, plain(c.regions.GetRegion), &xferv1.GetRegionRequest{Name: name})
	return resp.GetRegion(), err
}

// ListRegions returns the regions of a node (NodeName) or of all (AllNodes), and the
// nodes whose regions are missing.
func (c *Client) ListRegions(ctx context.Context, parent string) (list []*xferv1.Region, unreachable []string, err error) {
	for token := ""; ; {
		resp, err := call(ctx, plain(c.regions.ListRegions), &xferv1.ListRegionsRequest{Parent: parent, PageSize: 1000, PageToken: token})
		if err != nil {
			return list, unreachable, err
		}
		list = append(list, resp.GetRegions()...)
		unreachable = append(unreachable, resp.GetUnreachable()...)
		if token = resp.GetNextPageToken(); token == "" {
			return list, unreachable, nil
		}
	}
}

// UpdateRegion changes fields of a region: labels, readers, writers, ttl. It renews
// the lease; without fields it does only that.
func (c *Client) UpdateRegion(ctx context.Context, r *xferv1.Region, fields ...string) (*xferv1.Region, error) {
	req := &xferv1.UpdateRegionRequest{Region: r}
	if len(fields) > 0 {
		req.UpdateMask = &fieldmaskpb.FieldMask{Paths: fields}
	}
	resp, err := call(ctx, plain(c.regions.UpdateRegion), req)
	return resp.GetRegion(), err
}

// RenewRegion begins the lease of a region anew.
func (c *Client) RenewRegion(ctx context.Context, name string) (*xferv1.Region, error) {
	return c.UpdateRegion(ctx, &xferv1.Region{Name: name})
}

// DeleteRegion removes a region, with force also one that transfers use, which end
// then. It returns when nothing can write the memory any more.
func (c *Client) DeleteRegion(ctx context.Context, name string, force bool) error {
	_, err := call(ctx, plain(c.regions.DeleteRegion), &xferv1.DeleteRegionRequest{Name: name, Force: force})
	return err
}

// WatchRegion tells what happens to a region: first how it is, then each commit and
// change of state, until it is deleted, ctx ends, the loop is left, or an error that
// does not pass, which is the last pair. after is the generation to begin after; nil
// is now. When the connection breaks it goes on from the last generation; where the
// node does not remember that far back, which is so after it was started again, it
// tells how the region is and goes on from there.
func (c *Client) WatchRegion(ctx context.Context, name string, after *uint64) iter.Seq2[*xferv1.WatchRegionResponse, error] {
	return func(yield func(*xferv1.WatchRegionResponse, error) bool) {
		ctx, cancel := context.WithCancel(ctx) // ends the stream when the loop is left
		defer cancel()
		req := &xferv1.WatchRegionRequest{Name: name, AfterGeneration: after}
		silence, begun := outage{patience: c.patience}, false
		once := func() (over bool, err error) {
			stream, err := c.regions.WatchRegion(ctx, req)
			if err != nil {
				return false, err
			}
			for {
				m, err := stream.Recv()
				if err != nil {
					return errors.Is(err, io.EOF), err
				}
				silence.over()
				if m.GetCommit() != nil || m.GetRegion() != nil && req.AfterGeneration == nil {
					g := m.GetGeneration()
					req.AfterGeneration, begun = &g, true
				}
				if (m.GetKind() != nil || m.GetRegion() != nil) && !yield(m, nil) {
					return true, nil
				}
			}
		}
		for {
			over, err := once()
			if over {
				return
			}
			e := AsError(err)
			if begun && e.Reason == xferv1.Reason_REASON_COMPACTED.Name() {
				req.AfterGeneration, begun = nil, false
				continue
			}
			if err := silence.wait(ctx, e); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}
