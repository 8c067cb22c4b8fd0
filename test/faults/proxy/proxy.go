// Package proxy stands between two nodes and does to their TCP connections what bad
// networks and bad machines do: it changes bytes, above the checksums of TCP, cuts
// streams short, holds them up, resets them, slices and delays them. For the data
// plane it knows which byte is what, so that a test can say where.
//
// What is to be done is decided by a function of the test; the proxy has no faults
// of its own.
package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Verdict is what happens to a connection after some of its bytes.
type Verdict uint8

const (
	Pass      Verdict = iota
	Truncate          // these bytes and all that follow are lost, and both sides see an orderly end
	HalfClose         // this direction ends after these bytes, the other one goes on
	Reset             // both sides see a reset
	Stall             // these bytes wait until the proxy is released or closed
)

// Part is some bytes of a connection that are of one kind.
type Part struct {
	Conn   int  // counted from 0
	Back   bool // from the node that was dialled
	Place  Place
	Chunk  int      // how many chunks began on the connection before; of data forth
	UID    [16]byte // of the hello; of data forth and back, once it was seen
	Offset int64    // in the stream
	Bytes  []byte   // that may be changed
}

// Config says how a proxy works.
type Config struct {
	Listen, To string // host:port
	// Data says that what passes is the data plane. Otherwise every byte is
	// of Place Any.
	Data bool
	// Judge is called for all that passes, in the order of each direction and from
	// several goroutines. Nil: all passes.
	Judge func(*Part) Verdict
	Slice int           // bytes that are written at a time; 0: as they come
	Delay time.Duration // before each write
}

// Proxy is a listener and the connections through it.
type Proxy struct {
	cfg      Config
	listener *net.TCPListener
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu       sync.Mutex
	conns    int
	released chan struct{}
}

// New listens and begins to relay. The caller closes.
func New(cfg Config) (*Proxy, error) {
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, err
	}
	p := &Proxy{cfg: cfg, listener: l.(*net.TCPListener), released: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Conns is how many connections there were.
func (p *Proxy) Conns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns
}

// Release lets all that stalls go on. Later stalls stall.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.released)
	p.released = make(chan struct{})
}

func (p *Proxy) stalled() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.released
}

// Close ends all connections and waits for them. It is idempotent.
func (p *Proxy) Close() error {
	p.cancel()
	err := p.listener.Close()
	p.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.AcceptTCP()
		if err != nil {
			return
		}
		p.mu.Lock()
		n := p.conns
		p.conns++
		p.mu.Unlock()
		p.wg.Go(func() { p.relay(n, c) })
	}
}

// relay serves one connection to its end.
func (p *Proxy) relay(n int, from *net.TCPConn) {
	defer from.Close()
	var d net.Dialer
	c, err := d.DialContext(p.ctx, "tcp", p.cfg.To)
	if err != nil {
		_ = from.SetLinger(0) // as where nobody listens
		return
	}
	to := c.(*net.TCPConn)
	defer to.Close()
	ctx, end := context.WithCancel(p.ctx)
	defer end()
	defer context.AfterFunc(ctx, func() {
		from.Close()
		to.Close()
	})()
	l := &link{p: p, n: n, ctx: ctx, end: end}
	var both sync.WaitGroup
	both.Go(func() { l.copy(to, from, false) })
	both.Go(func() { l.copy(from, to, true) })
	both.Wait()
}

// link is one connection through the proxy.
type link struct {
	p   *Proxy
	n   int
	ctx context.Context
	end context.CancelFunc

	mu  sync.Mutex
	uid [16]byte
}

// copy relays one direction.
func (l *link) copy(to, from *net.TCPConn, back bool) {
	places := finder{data: l.p.cfg.Data, back: back}
	buf := make([]byte, 64<<10)
	var at int64
	for {
		n, err := from.Read(buf)
		for b := buf[:n]; len(b) > 0; {
			part := Part{Conn: l.n, Back: back, Offset: at}
			var size int
			part.Place, size = places.next(b)
			part.Bytes, part.Chunk = b[:size], max(0, places.chunks-1)
			b, at = b[size:], at+int64(size)
			if part.UID = l.hello(&places, back); !l.pass(to, from, &part) {
				return
			}
		}
		if err != nil {
			if l.ctx.Err() == nil && to.CloseWrite() != nil {
				l.end()
			}
			return
		}
	}
}

// hello returns the uid of the connection's hello, zero before it came.
func (l *link) hello(f *finder, back bool) [16]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !back {
		l.uid = f.uid
	}
	return l.uid
}

// pass does what the test says, and reports whether the direction goes on.
func (l *link) pass(to, from *net.TCPConn, part *Part) bool {
	v := Pass
	if l.p.cfg.Judge != nil {
		v = l.p.cfg.Judge(part)
	}
	switch v {
	case Truncate:
		l.end()
		return false
	case Reset:
		_ = from.SetLinger(0)
		_ = to.SetLinger(0)
		l.end()
		return false
	case Stall:
		select {
		case <-l.p.stalled():
		case <-l.ctx.Done():
			return false
		}
	}
	if !l.write(to, part.Bytes) {
		l.end()
		return false
	}
	if v == HalfClose {
		_ = to.CloseWrite()
		return false
	}
	return true
}

// write sends in slices, with a delay before each.
func (l *link) write(to *net.TCPConn, b []byte) bool {
	for len(b) > 0 {
		n := len(b)
		if l.p.cfg.Slice > 0 {
			n = min(n, l.p.cfg.Slice)
		}
		if l.p.cfg.Delay > 0 {
			t := time.NewTimer(l.p.cfg.Delay)
			select {
			case <-t.C:
			case <-l.ctx.Done():
				t.Stop()
				return false
			}
		}
		if _, err := to.Write(b[:n]); err != nil {
			return false
		}
		b = b[n:]
	}
	return true
}
