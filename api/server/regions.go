package server

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/region"
	"github.com/xferd/xferd/transfer"
)

// Regions are the memory regions of this node; *region.Registry is one, but for the
// type that Watch returns. The principal "" is an administrator, who sees all. Errors
// are *region.Error, or those of the store.
type Regions interface {
	Create(ctx context.Context, s region.Spec) (region.Info, error)
	Get(principal, id string) (region.Info, error)
	List(principal, after string, limit int) []region.Info
	Update(ctx context.Context, principal, id string, c region.Change) (region.Info, error)
	Delete(ctx context.Context, principal, id string, force bool) error
	Watch(principal, id string, after *uint64) (*region.Watch, error)
}

// regionService has the handlers of RegionService.
type regionService struct {
	xferv1.UnimplementedRegionServiceServer
	*Server
}

// regions returns those of this node.
func (s *regionService) regions() (Regions, error) {
	if s.cfg.Regions == nil {
		return nil, &transfer.Error{
			Reason: transfer.Unsupported, Side: transfer.SideOwner, Node: s.cfg.Self, Err: errors.New("this node has no memory regions"),
		}
	}
	return s.cfg.Regions, nil
}

// seesAs is the principal to look at regions with.
func seesAs(ctx context.Context) string {
	c := callOf(ctx)
	if c.Admin {
		return ""
	}
	return c.Principal
}

// regionError is the error of a call about a region.
func (s *Server) regionError(err error) error {
	if r, ok := errors.AsType[*region.Error](err); ok && r.Kind == region.ErrInvalid && r.Field != "" {
		return invalid(r.Field, "%w", r.Err)
	}
	return transfer.RegionError(err, transfer.SideOwner, transfer.PhaseSubmit, s.cfg.Self)
}

func (s *regionService) CreateRegion(ctx context.Context, req *xferv1.CreateRegionRequest) (*xferv1.CreateRegionResponse, error) {
	node, err := parseNode("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	spec, err := regionSpecIn(req.GetRegionId(), req.GetRegion())
	if err != nil {
		return nil, err
	}
	if resp, err := elsewhere(s.Server, ctx, node, xferv1.NewRegionServiceClient, xferv1.RegionServiceClient.CreateRegion, req); resp != nil || err != nil {
		return resp, err
	}
	r, err := s.regions()
	if err != nil {
		return nil, err
	}
	spec.Principal = callOf(ctx).Principal
	info, err := r.Create(ctx, spec)
	if err != nil {
		return nil, s.regionError(err)
	}
	return &xferv1.CreateRegionResponse{Region: s.regionOut(&info)}, nil
}

func (s *regionService) GetRegion(ctx context.Context, req *xferv1.GetRegionRequest) (*xferv1.GetRegionResponse, error) {
	node, id, err := parseRegion("name", req.GetName())
	if err != nil {
		return nil, err
	}
	if resp, err := elsewhere(s.Server, ctx, node, xferv1.NewRegionServiceClient, xferv1.RegionServiceClient.GetRegion, req); resp != nil || err != nil {
		return resp, err
	}
	r, err := s.regions()
	if err != nil {
		return nil, err
	}
	info, err := r.Get(seesAs(ctx), id)
	if err != nil {
		return nil, s.regionError(err)
	}
	return &xferv1.GetRegionResponse{Region: s.regionOut(&info)}, nil
}

func (s *regionService) UpdateRegion(ctx context.Context, req *xferv1.UpdateRegionRequest) (*xferv1.UpdateRegionResponse, error) {
	node, id, err := parseRegion("region.name", req.GetRegion().GetName())
	if err != nil {
		return nil, err
	}
	change, err := regionChangeIn(req)
	if err != nil {
		return nil, err
	}
	if resp, err := elsewhere(s.Server, ctx, node, xferv1.NewRegionServiceClient, xferv1.RegionServiceClient.UpdateRegion, req); resp != nil || err != nil {
		return resp, err
	}
	r, err := s.regions()
	if err != nil {
		return nil, err
	}
	info, err := r.Update(ctx, seesAs(ctx), id, change)
	if err != nil {
		return nil, s.regionError(err)
	}
	return &xferv1.UpdateRegionResponse{Region: s.regionOut(&info)}, nil
}

func (s *regionService) DeleteRegion(ctx context.Context, req *xferv1.DeleteRegionRequest) (*xferv1.DeleteRegionResponse, error) {
	node, id, err := parseRegion("name", req.GetName())
	if err != nil {
		return nil, err
	}
	if resp, err := elsewhere(s.Server, ctx, node, xferv1.NewRegionServiceClient, xferv1.RegionServiceClient.DeleteRegion, req); resp != nil || err != nil {
		return resp, err
	}
	r, err := s.regions()
	if err != nil {
		return nil, err
	}
	if err := r.Delete(ctx, seesAs(ctx), id, req.GetForce()); err != nil {
		return nil, s.regionError(err)
	}
	return &xferv1.DeleteRegionResponse{}, nil
}

func (s *regionService) WatchRegion(req *xferv1.WatchRegionRequest, stream grpc.ServerStreamingServer[xferv1.WatchRegionResponse]) error {
	ctx := stream.Context()
	node, id, err := parseRegion("name", req.GetName())
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
	emit := func(m *xferv1.WatchRegionResponse) error { return p.send(ctx, m) }
	if node == s.cfg.Self {
		err = s.watchRegion(ctx, id, req.AfterGeneration, emit)
	} else {
		err = s.watchRegionElsewhere(ctx, node, req, emit)
	}
	if ctx.Err() != nil { // tell why, not that something was cut off
		return context.Cause(ctx)
	}
	return err
}

// watchRegion tells of a region of this node until it is gone, ctx ends or emit
// fails. The registry keeps nothing for a watcher, so a slow one costs it nothing.
func (s *regionService) watchRegion(ctx context.Context, id string, after *uint64, emit func(*xferv1.WatchRegionResponse) error) error {
	r, err := s.regions()
	if err != nil {
		return err
	}
	w, err := r.Watch(seesAs(ctx), id, after)
	if err != nil {
		return s.regionError(err)
	}
	info, err := r.Get(seesAs(ctx), id)
	if err != nil {
		return s.regionError(err)
	}
	state, generation := regionStateOut(info.State), info.Generation
	if err := emit(&xferv1.WatchRegionResponse{Region: s.regionOut(&info), State: state, Generation: generation}); err != nil {
		return err
	}
	for {
		c, cancel := context.WithTimeout(ctx, heartbeat)
		events, err := w.Next(c)
		quiet := c.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && quiet:
			err = emit(&xferv1.WatchRegionResponse{State: state, Generation: generation})
		case err != nil:
			return s.regionError(err)
		}
		if err != nil {
			return err
		}
		for i := range events {
			m := regionEventOut(&events[i])
			state, generation = m.GetState(), m.GetGeneration()
			if err := emit(m); err != nil {
				return err
			}
		}
	}
}

// watchRegionElsewhere relays the watch of another node.
func (s *regionService) watchRegionElsewhere(ctx context.Context, node transfer.NodeID, req *xferv1.WatchRegionRequest, emit func(*xferv1.WatchRegionResponse) error) error {
	conn, err := s.route(ctx, node)
	if err != nil {
		return err
	}
	stream, err := xferv1.NewRegionServiceClient(conn).WatchRegion(s.forwarding(ctx), req)
	if err != nil {
		return remoteError(ctx, node, err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return remoteError(ctx, node, err)
		}
		if err := emit(m); err != nil {
			return err
		}
	}
}
