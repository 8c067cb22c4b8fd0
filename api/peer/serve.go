package peer

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
)

// Target serves the edges that other nodes open.
type Target interface {
	Serve(ctx context.Context, from transfer.NodeID, link transfer.OwnerLink) error
}

// Identity is what a node tells of itself.
type Identity struct {
	Node        transfer.NodeID
	Cluster     string
	Incarnation uint64
	Version     string
	Draining    func() bool
}

// Server is the service that other nodes call. Authorise, where not nil,
// decides about every call before anything of it is read.
type Server struct {
	peerv1.UnimplementedPeerServiceServer
	Self      Identity
	Target    Target
	Authorise func(ctx context.Context) error

	pumps sync.WaitGroup
}

// Wait returns after the goroutines that read from streams ended, which they do
// once the gRPC server was stopped.
func (s *Server) Wait() { s.pumps.Wait() }

// Register adds the service to r.
func (s *Server) Register(r grpc.ServiceRegistrar) { peerv1.RegisterPeerServiceServer(r, s) }

func (s *Server) authorise(ctx context.Context) error {
	if s.Authorise == nil {
		return nil
	}
	return s.Authorise(ctx)
}

// Hello tells who is here, and refuses callers of other clusters.
func (s *Server) Hello(ctx context.Context, r *peerv1.HelloRequest) (*peerv1.HelloResponse, error) {
	if err := s.authorise(ctx); err != nil {
		return nil, err
	}
	if r.GetCluster() != s.Self.Cluster {
		return nil, status.Errorf(codes.FailedPrecondition, "node %s is of cluster %q, not %q", s.Self.Node, s.Self.Cluster, r.GetCluster())
	}
	return &peerv1.HelloResponse{
		Node: string(s.Self.Node), Cluster: s.Self.Cluster, Incarnation: s.Self.Incarnation,
		Version: s.Self.Version, Draining: s.Self.Draining(),
	}, nil
}

// Edge serves one control stream until the edge is over.
func (s *Server) Edge(stream grpc.BidiStreamingServer[peerv1.ToTarget, peerv1.ToOwner]) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	if err := s.authorise(ctx); err != nil {
		return err
	}
	l := &ownerLink{stream: stream, cancel: cancel, in: newPump[*peerv1.ToTarget]()}
	s.pumps.Go(func() { l.in.run(stream.Context(), stream.Recv) })
	first, err := l.Recv(ctx)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "first message: %v", err)
	}
	open, ok := first.(*transfer.Open)
	if !ok {
		return status.Errorf(codes.InvalidArgument, "first message is %T, not Open", first)
	}
	l.first = open
	if err := s.Target.Serve(ctx, open.Owner, l); err != nil {
		// Whatever it was, to the owner it is an edge that broke: if there was
		// more to say, the target said it with Refused.
		return status.Errorf(codes.Unavailable, "edge: %v", err)
	}
	return nil
}

// ownerLink is the target's end of a stream.
type ownerLink struct {
	stream grpc.BidiStreamingServer[peerv1.ToTarget, peerv1.ToOwner]
	in     *pump[*peerv1.ToTarget]
	cancel context.CancelCauseFunc
	first  transfer.ToTarget // received already

	mu sync.Mutex // serialises Send
}

func (l *ownerLink) Send(ctx context.Context, m transfer.ToOwner) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := encodeToOwner(m)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stream.Send(p)
}

func (l *ownerLink) Recv(ctx context.Context) (transfer.ToTarget, error) {
	if m := l.first; m != nil {
		l.first = nil
		return m, nil
	}
	p, err := l.in.next(ctx)
	if err != nil {
		return nil, err
	}
	m, err := decodeToTarget(p)
	if err != nil {
		return nil, fmt.Errorf("message of the owner: %w", err)
	}
	return m, nil
}

// Close makes Serve's caller end the stream.
func (l *ownerLink) Close() error {
	l.cancel(errLinkClosed)
	return nil
}
