package verbs

import (
	"log/slog"
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is one host of a rig.
type node struct {
	*Transport
	sys        *rdma.System
	devices    []*rdma.Device
	send, recv *bufpool.Pool
}

// rig is two hosts on a fabric in this process.
type rig struct {
	fabric   *rdmatest.Fabric
	a, b     *rdmatest.Device // of source and target
	src, dst *node
}

func newRig(t *testing.T, l Limits) *rig {
	t.Helper()
	r := &rig{fabric: rdmatest.New(t, rdmatest.Options{Visible: true})}
	r.a = r.fabric.Device("n1", rdmatest.DeviceConfig{Addrs: []string{"10.0.0.1"}})
	r.b = r.fabric.Device("n2", rdmatest.DeviceConfig{Addrs: []string{"10.0.0.2"}})
	r.src = newNode(t, r.fabric.Driver("n1"), "10.0.0.1", l)
	r.dst = newNode(t, r.fabric.Driver("n2"), "10.0.0.2", l)
	return r
}

func newNode(t *testing.T, d rdma.Driver, local string, l Limits) *node {
	t.Helper()
	n := &node{sys: rdma.New(d), send: bufpool.New(64 << 20), recv: bufpool.New(64 << 20)}
	infos, err := n.sys.Devices()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		dev, err := n.sys.OpenDevice(i.Name)
		if err != nil {
			t.Fatal(err)
		}
		n.devices = append(n.devices, dev)
	}
	n.Transport, err = New(Config{
		Rails:    n.rails,
		Route:    func(netip.Addr) (netip.Addr, error) { return netip.MustParseAddr(local), nil },
		SendPool: n.send, RecvPool: n.recv, Limits: l, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) rails() ([]Rail, error) {
	var rails []Rail
	for _, d := range n.devices {
		p, err := d.Port(1)
		if err != nil {
			return nil, err
		}
		g, err := d.GIDs()
		if err != nil {
			return nil, err
		}
		usable, _ := RankGIDs(p, g)
		rails = append(rails, Rail{Device: d, Port: p, GIDs: usable})
	}
	return rails, nil
}

// close takes the node apart and checks that nothing was left behind.
func (n *node) close(t *testing.T) {
	t.Helper()
	if err := n.Transport.Close(); err != nil {
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

func (r *rig) close(t *testing.T) {
	t.Helper()
	r.src.close(t)
	r.dst.close(t)
}

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) (transport.Acceptor, transport.Dialer, func()) {
		r := newRig(t, Limits{})
		return r.dst, r.src, func() { r.close(t) }
	}, transporttest.Traits{Digests: true})
}
