// Package tcp is the transport over plain TCP: one or more connections per
// edge, opened as chunks come, file content by sendfile(2) at the source and by
// pwrite(2) at the target, an XXH3-128 per extent at both ends.
//
// It is not the place for what a transfer is or which transport an edge takes,
// and the layout of the frames is in internal/wire.
package tcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transport"
)

// Limits are bounds that a peer cannot move. Zero fields take the default.
type Limits struct {
	// Handshake is the time for a hello and its answer (10 s), and for opening
	// a connection at the source.
	Handshake time.Duration
	// Pending is the number of connections that may be in their handshake at
	// the same time (256). One more is told Busy.
	Pending int
	// Stall is the time in which a peer that owes something must move at least
	// 64 KiB, or give a sign of life while it works on an answer (30 s).
	Stall time.Duration
	// Streams is the largest number of streams of one edge (32).
	Streams int
	// ChunkSize is the largest chunk_size of an edge in bytes (64 MiB).
	ChunkSize int64
	// DirectFrom is the size in bytes from which on files that somebody waits to
	// have on their device are written past the page cache there (16 MiB); below 0
	// for never.
	DirectFrom int64
}

func (l *Limits) fill() {
	def(&l.Handshake, 10*time.Second)
	def(&l.Pending, 256)
	def(&l.Stall, 30*time.Second)
	def(&l.Streams, 32)
	def(&l.ChunkSize, 64<<20)
	def(&l.DirectFrom, 16<<20)
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Config is what a Transport is made of.
type Config struct {
	// Listener takes the data connections of all edges of this node; see Listen.
	// Without it the transport only dials. Run closes it.
	Listener net.Listener
	// Advertise returns the host:port that peers use. Nil stands for the
	// address of Listener.
	Advertise func() string
	// Incarnation is put into grants.
	Incarnation uint64
	// Pool lends the buffers of both directions. RecvPool, when set, lends those
	// of the target's side instead. Give it where Pool also holds what waits to
	// be sent: two nodes that send to each other could otherwise wait for each
	// other's full pools for good.
	Pool     *bufpool.Pool
	RecvPool *bufpool.Pool
	Log      *slog.Logger // nil: no log
	Limits   Limits
}

// Transport is both halves of TCP on one node: transport.Acceptor and
// transport.Dialer.
type Transport struct {
	cfg   Config
	log   *slog.Logger
	edges registry
	files *fsroot.DirectIO
	noise rate.Sometimes // for what strangers can make us log

	mu    sync.Mutex
	conns map[net.Conn]struct{} // in their handshake
	done  bool
	wg    sync.WaitGroup // handshakes and the target's streams
}

var (
	_ transport.Acceptor = (*Transport)(nil)
	_ transport.Dialer   = (*Transport)(nil)
)

// New returns a transport. It takes connections only while Run runs.
func New(cfg Config) (*Transport, error) {
	if cfg.Pool == nil {
		return nil, errors.New("tcp transport without a buffer pool")
	}
	def(&cfg.RecvPool, cfg.Pool)
	cfg.Limits.fill()
	t := &Transport{cfg: cfg, log: cfg.Log, files: fsroot.NewDirectIO(cfg.Limits.DirectFrom), conns: map[net.Conn]struct{}{}}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.edges.init()
	t.noise.Interval = time.Second
	return t, nil
}

// Listen opens a data listener. Multipath TCP is off: pacing and sendfile are
// only predictable on plain TCP.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	lc.SetMultipathTCP(false)
	return lc.Listen(ctx, "tcp", addr)
}

// keepAlive finds peers that are gone while nothing is in flight, within 25 s. While
// something is, Limits.Stall does. TCP_USER_TIMEOUT is not used: it also breaks
// connections whose peer lives and only takes nothing for a while, which is what
// back-pressure looks like.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}

// Run accepts connections until ctx ends. Then it closes the listener and all
// edges that were prepared, and returns when nothing of them runs any more.
func (t *Transport) Run(ctx context.Context) error {
	if t.cfg.Listener == nil {
		return errors.New("tcp transport without a listener")
	}
	stop := context.AfterFunc(ctx, func() { t.cfg.Listener.Close() })
	defer stop()
	err := t.accept(ctx)
	t.cfg.Listener.Close()

	t.mu.Lock()
	t.done = true
	for c := range t.conns {
		c.Close()
	}
	t.mu.Unlock()
	t.edges.closeAll()
	t.wg.Wait()
	return err
}

func (t *Transport) accept(ctx context.Context) error {
	var wait time.Duration
	for {
		c, err := t.cfg.Listener.Accept()
		switch {
		case err == nil:
			wait = 0
			t.admit(c)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("data listener: %w", err)
		}
		// Out of descriptors or memory, or a connection that died in the queue:
		// all of them pass.
		wait = min(max(2*wait, 5*time.Millisecond), time.Second)
		t.log.Warn("data listener", "err", err, "wait", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// admit starts the handshake of a connection, or turns it away.
func (t *Transport) admit(c net.Conn) {
	t.mu.Lock()
	full := len(t.conns) >= t.cfg.Limits.Pending
	if t.done {
		t.mu.Unlock()
		c.Close()
		return
	}
	if !full {
		t.conns[c] = struct{}{}
		t.wg.Add(1)
	}
	t.mu.Unlock()
	if full {
		refuse(c, busyReply)
		return
	}
	go func() {
		defer t.wg.Done()
		t.serve(c)
	}()
}

func (t *Transport) leaveHandshake(c net.Conn) {
	t.mu.Lock()
	delete(t.conns, c)
	t.mu.Unlock()
}
