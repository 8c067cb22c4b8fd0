package verbs_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/test/lab"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
	"github.com/xferd/xferd/transport/verbs"
)

// TestLab runs what needs a device on SoftRoCE in a virtual machine.
func TestLab(t *testing.T) {
	lab.RunTests(t, lab.TestJob{Run: "^TestReal", Job: lab.Job{Timeout: 15 * time.Minute}})
}

// realNode is a host with the device of the lab. Several of them are one device,
// opened as often.
type realNode struct {
	*verbs.Transport
	sys        *rdma.System
	dev        *rdma.Device
	send, recv *bufpool.Pool
}

func newRealNode(t testing.TB, l verbs.Limits) *realNode {
	t.Helper()
	n := &realNode{send: bufpool.New(64 << 20), recv: bufpool.New(64 << 20)}
	var err error
	if n.sys, err = rdma.Open(); err != nil {
		t.Fatal(err)
	}
	if n.dev, err = n.sys.OpenDevice(os.Getenv(lab.EnvDevice)); err != nil {
		t.Fatal(err)
	}
	local, err := netip.ParseAddr(os.Getenv(lab.EnvAddr))
	if err != nil {
		t.Fatal(err)
	}
	n.Transport, err = verbs.New(verbs.Config{
		Rails:    n.rails,
		Route:    func(netip.Addr) (netip.Addr, error) { return local, nil },
		SendPool: n.send, RecvPool: n.recv, Limits: l, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(errors.Join(err, n.dev.Close()))
	}
	return n
}

func (n *realNode) rails() ([]verbs.Rail, error) {
	p, err := n.dev.Port(1)
	if err != nil {
		return nil, err
	}
	p.Port = 1
	g, err := n.dev.GIDs()
	if err != nil {
		return nil, err
	}
	usable, rejected := verbs.RankGIDs(p, g)
	if len(usable) == 0 {
		return nil, fmt.Errorf("no usable GID: %+v", rejected)
	}
	return []verbs.Rail{{Device: n.dev, Port: p, GIDs: usable}}, nil
}

// close takes the node apart and checks that nothing was left behind.
func (n *realNode) close(t testing.TB) {
	t.Helper()
	if err := errors.Join(n.Transport.Close(), n.dev.Close()); err != nil {
		t.Errorf("%v (open: %v)", err, n.sys.Live())
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

// What every transport has to do, by a real driver.
func TestRealConformance(t *testing.T) {
	lab.RequireInside(t)
	transporttest.Run(t, func(t *testing.T) (transport.Acceptor, transport.Dialer, func()) {
		src, dst := newRealNode(t, verbs.Limits{}), newRealNode(t, verbs.Limits{})
		return dst, src, func() {
			src.close(t)
			dst.close(t)
		}
	}, transporttest.Traits{Digests: true})
}
