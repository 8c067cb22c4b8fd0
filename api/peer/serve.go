package peer

import (
	"context"
	"sync"
	"time"

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

	mu      sync.Mutex
	stopped bool
	edges   sync.WaitGroup // and the goroutines that use their streams
}

// Wait returns after all edges and the goroutines that use their streams ended,
// which they do once the gRPC server was stopped. Edges that come later are
// refused.
func (s *Server) Wait() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.edges.Wait()
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.edges.Add(1)
	return true
}

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

// openTimeout bounds how long a stream may be without its first message.
const openTimeout = 30 * time.Second

// Edge serves one control stream until the edge is over.
func (s *Server) Edge(stream grpc.BidiStreamingServer[peerv1.ToTarget, peerv1.ToOwner]) error {
	if !s.enter() {
		return status.Errorf(codes.Unavailable, "node %s stops", s.Self.Node)
	}
	defer s.edges.Done()
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	if err := s.authorise(ctx); err != nil {
		return err
	}
	l := newOwnerLink(ctx, cancel, stream, &s.edges)
	s.edges.Go(func() { l.in.run(stream.Context(), stream.Recv) })
	open, err := l.open()
	if err != nil {
		return err
	}
	if err := s.Target.Serve(ctx, open.Owner, l); err != nil {
		// Whatever it was, to the owner it is an edge that broke: if there was
		// more to say, the target said it with Refused.
		return status.Errorf(codes.Unavailable, "edge: %v", err)
	}
	return nil
}
