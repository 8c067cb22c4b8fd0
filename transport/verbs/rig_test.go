package verbs

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/test/bubble"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is one host of a rig.
type node struct {
	*Transport
	host       int
	sys        *rdma.System
	audit      *audit
	send, recv *bufpool.Pool
	kept       bool

	mu      sync.Mutex
	devices []*rdma.Device
	rig     func([]Rail) ([]Rail, error) // changes what rails says, if set

	stop   context.CancelFunc
	events sync.WaitGroup
}

// setup is what a rig is made of.
type setup struct {
	limits  Limits
	rails   int // devices of each host; 0 is 1
	pool    int64
	mtu     [2]rdma.MTU   // of source and target
	message uint32        // longest work request
	hidden  bool          // the race detector does not see what devices do
	deaf    bool          // events of devices are not taken
	memory  int64         // that the target's devices may have registered
	kept    bool          // memory may stay in quarantine
	timeout time.Duration // of one try; see rdmatest.Options
}

// rig is two hosts on a fabric in this process. Device k of the source has the
// address 10.0.k.1, that of the target 10.0.k.2.
type rig struct {
	fabric   *rdmatest.Fabric
	as, bs   []*rdmatest.Device
	a, b     *rdmatest.Device // the first of source and target
	src, dst *node
}

func newRig(t *testing.T, s setup) *rig {
	t.Helper()
	r := &rig{fabric: rdmatest.New(t, rdmatest.Options{Visible: !s.hidden, Timeout: s.timeout})}
	if s.pool == 0 {
		s.pool = 64 << 20
	}
	for k := range max(s.rails, 1) {
		for h, all := range []*[]*rdmatest.Device{&r.as, &r.bs} {
			c := rdmatest.DeviceConfig{Addrs: []string{fmt.Sprintf("10.0.%d.%d", k, h+1)}, MTU: s.mtu[h], MaxMessage: s.message}
			if h == 1 {
				c.MaxMemory = s.memory
			}
			*all = append(*all, r.fabric.Device(fmt.Sprint("n", h+1), c))
		}
	}
	r.a, r.b = r.as[0], r.bs[0]
	r.src = newNode(t, r.fabric.Driver("n1"), 1, &s)
	r.dst = newNode(t, r.fabric.Driver("n2"), 2, &s)
	return r
}

func newNode(t *testing.T, d rdma.Driver, host int, s *setup) *node {
	t.Helper()
	n := &node{host: host, audit: &audit{report: t.Errorf}, kept: s.kept, send: bufpool.New(s.pool), recv: bufpool.New(s.pool)}
	n.sys = rdma.New(auditDriver{d, n.audit})
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	var err error
	n.Transport, err = New(Config{
		Rails: n.rails, Route: n.route,
		SendPool: n.send, RecvPool: n.recv, Limits: s.limits, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	infos, err := n.sys.Devices()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		n.open(t, i.Name)
	}
	if !s.deaf {
		for _, dev := range n.devices {
			n.listen(ctx, dev)
		}
	}
	return n
}

func (n *node) open(t *testing.T, name string) {
	t.Helper()
	dev, err := n.sys.OpenDevice(name)
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.devices = append(n.devices, dev)
}

// listen takes the events of a device.
func (n *node) listen(ctx context.Context, dev *rdma.Device) {
	n.events.Go(func() {
		for {
			e, err := dev.NextEvent(ctx)
			if err != nil {
				return
			}
			n.Event(dev, e)
		}
	})
}

// route is that of a network in which every subnet is a rail.
func (n *node) route(peer netip.Addr) (netip.Addr, error) {
	if !peer.Is4() {
		return netip.Addr{}, fmt.Errorf("no route to %s", peer)
	}
	b := peer.As4()
	b[3] = byte(n.host)
	return netip.AddrFrom4(b), nil
}

func (n *node) rails() ([]Rail, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var rails []Rail
	for _, d := range n.devices {
		p, err := d.Port(1)
		if err != nil || p.State != rdma.PortActive {
			continue
		}
		g, err := d.GIDs()
		if err != nil {
			return nil, err
		}
		if usable, _ := RankGIDs(p, g); len(usable) > 0 {
			rails = append(rails, Rail{Device: d, Port: p, GIDs: usable})
		}
	}
	if n.rig != nil {
		return n.rig(rails)
	}
	if len(rails) == 0 {
		return nil, unavailable("", transport.PortDown, fmt.Errorf("no port of host %d is up", n.host))
	}
	return rails, nil
}

// close takes the node apart and checks that nothing was left behind.
func (n *node) close(t *testing.T) {
	t.Helper()
	err := n.Transport.Close()
	n.stop()
	n.events.Wait()
	if n.kept && err != nil {
		return // its objects cannot be closed
	}
	if err != nil {
		t.Errorf("close: %v", err)
	}
	for _, d := range n.devices {
		if err := d.Close(); err != nil {
			t.Errorf("device: %v (open: %v)", err, n.sys.Live())
		}
	}
	for _, p := range []*bufpool.Pool{n.send, n.recv} {
		if used := p.InUse(); used != 0 {
			t.Errorf("%d bytes of buffers are out", used)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// close takes both hosts apart and checks that the devices have nothing left.
func (r *rig) close(t *testing.T) {
	t.Helper()
	r.src.close(t)
	r.dst.close(t)
	for _, d := range append(r.as, r.bs...) {
		if r.src.kept {
			return
		}
		c := d.Counters()
		if n := c.Contexts + c.ProtectionDomains + c.MemoryRegions + c.Channels + c.CompletionQueues + c.QueuePairs; n != 0 && !r.src.audit.lied() && !r.dst.audit.lied() {
			t.Errorf("%s has %d objects left: %+v", d.Name(), n, c)
		}
	}
}

// inBubble runs a test of a rig on a clock of its own, on which the longest
// patience costs nothing.
func inBubble(t *testing.T, s setup, f func(t *testing.T, r *rig)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		r := newRig(t, s)
		defer r.close(t)
		f(t, r)
	})
}

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) (transport.Acceptor, transport.Dialer, func()) {
		r := newRig(t, setup{})
		return r.dst, r.src, func() { r.close(t) }
	}, transporttest.Traits{Digests: true})
}
