package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// Config is what a Server needs. All fields but Regions and the limits are required.
type Config struct {
	Self      transfer.NodeID
	Engine    Engine
	Nodes     Nodes
	Guard     Guard
	Forwarder Forwarder
	Regions   Regions // nil: this node has none
	// Exports returns those in force. The server does not close them.
	Exports func() *fsroot.Exports
	Log     *slog.Logger

	// MaxWatches open at a time, and of one principal; 0: 1000 and 100.
	MaxWatches, MaxWatchesPerCaller int
}

// Server implements TransferService, NodeService and RegionService. Its handlers may be called
// concurrently.
type Server struct {
	cfg     Config
	watches watchCount
	// stopped ends when Close is called: watches and waits end then.
	stopped context.Context
	stop    context.CancelFunc
	pumps   pumpCount
}

// times of the server's own; variables of the server are not configuration.
const (
	unaryTimeout  = 30 * time.Second // of a call without a stream
	createTimeout = 10 * time.Minute // of CreateRegion: a terabyte takes minutes
	waitTimeout   = 25 * time.Second
	fanOutTimeout = 2 * time.Second // of one node
	fanOutWidth   = 32              // nodes asked at once
	heartbeat     = 10 * time.Second
	deadAfter     = 3 * heartbeat    // a watch of another node that is silent
	slowAfter     = 30 * time.Second // a watcher that does not read
)

// New returns a Server. Close it.
func New(cfg Config) (*Server, error) {
	switch {
	case !transfer.CheckNodeID(string(cfg.Self)):
		return nil, fmt.Errorf("node id %q is not valid", cfg.Self)
	case cfg.Engine == nil, cfg.Nodes == nil, cfg.Guard == nil, cfg.Forwarder == nil, cfg.Exports == nil, cfg.Log == nil:
		return nil, errors.New("the API server lacks a part that it needs")
	}
	if cfg.MaxWatches == 0 {
		cfg.MaxWatches = 1000
	}
	if cfg.MaxWatchesPerCaller == 0 {
		cfg.MaxWatchesPerCaller = 100
	}
	s := &Server{cfg: cfg}
	s.watches.open = map[string]int{}
	s.pumps.idle = make(chan struct{})
	s.stopped, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Register adds the services to a gRPC server that has the interceptors of
// [Server.NewGRPC].
func (s *Server) Register(r grpc.ServiceRegistrar) {
	xferv1.RegisterTransferServiceServer(r, &transferService{Server: s})
	xferv1.RegisterNodeServiceServer(r, &nodeService{Server: s})
	xferv1.RegisterRegionServiceServer(r, &regionService{Server: s})
}

// Close ends all watches and waits with NODE_STOPPING. Call it before the gRPC
// servers are stopped gracefully, which would wait for them. It returns when no
// goroutine of the Server is left, but for handlers. Idempotent.
func (s *Server) Close() error {
	s.stop()
	s.pumps.wait()
	return nil
}

func (s *Server) stopping() error {
	return &transfer.Error{
		Reason: transfer.NodeStopping, Side: transfer.SideOwner, Node: s.cfg.Self,
		Err: errors.New("the node is shutting down"),
	}
}

// watchCount limits watches.
type watchCount struct {
	mu   sync.Mutex
	all  int
	open map[string]int // by principal
}

// add counts a watch of the caller; the result undoes that.
func (s *Server) addWatch(ctx context.Context) (func(), error) {
	c := callOf(ctx)
	w := &s.watches
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all >= s.cfg.MaxWatches || w.open[c.Principal] >= s.cfg.MaxWatchesPerCaller {
		return nil, &transfer.Error{
			Reason: transfer.TooManyWatches, Side: transfer.SideOwner, Node: s.cfg.Self,
			Err:  fmt.Errorf("%d watches are open here, %d of them of %q", w.all, w.open[c.Principal], c.Principal),
			Hint: "end some, or poll with ListTransfers",
		}
	}
	w.all++
	w.open[c.Principal]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all--
		if w.open[c.Principal]--; w.open[c.Principal] == 0 {
			delete(w.open, c.Principal)
		}
	}, nil
}
