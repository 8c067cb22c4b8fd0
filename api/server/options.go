package server

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
)

// Message sizes, in bytes. A request may have 16 MiB; an answer holds what was
// asked with a little more around it.
const (
	MaxRequest = 16 << 20
	MaxMessage = 20 << 20
)

// ListenOptions are what differs between the listeners of a node.
type ListenOptions struct {
	// Reflection is for the local socket only: it tells the whole interface to
	// whoever can connect.
	Reflection bool
	// Extra are further options: transport credentials, and interceptors that
	// run before those of the API.
	Extra []grpc.ServerOption
}

// GRPC is a gRPC server with its health service.
type GRPC struct {
	*grpc.Server
	// Health starts as SERVING. Call Shutdown before the server is stopped.
	Health *health.Server
}

// NewGRPC returns a gRPC server with the limits of xferd, the interceptors of
// the API and its services. Others may be registered at it; they get the limits,
// and a panic of theirs becomes INTERNAL.
func (s *Server) NewGRPC(o ListenOptions) *GRPC {
	opts := append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxRequest),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.MaxConcurrentStreams(256), // the guard against rapid resets needs a bound
		grpc.MaxHeaderListSize(16 << 10),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: 10 * time.Second, PermitWithoutStream: true,
		}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 15 * time.Minute,
			// An old connection takes no new calls, but those that run end in
			// their own time.
			MaxConnectionAge: 30 * time.Minute,
			// A partition in one direction shows only by answers that lack.
			Time:    20 * time.Second,
			Timeout: 10 * time.Second,
		}),
	}, o.Extra...)
	opts = append(opts,
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
	)
	g := &GRPC{Server: grpc.NewServer(opts...), Health: health.NewServer()}
	s.Register(g)
	healthpb.RegisterHealthServer(g, g.Health)
	for _, name := range []string{"xfer.v1.TransferService", "xfer.v1.NodeService"} {
		g.Health.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
	}
	if o.Reflection {
		reflection.Register(g)
	}
	return g
}
