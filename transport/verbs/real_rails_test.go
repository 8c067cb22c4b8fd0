package verbs_test

import (
	"bytes"
	"errors"
	"log/slog"
	mrand "math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/test/lab"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/verbs"
)

// realRails is a host with several devices, whose addresses are all its own.
type realRails struct {
	*realNode
	devices []*rdma.Device
}

func newRealRails(t *testing.T, l verbs.Limits, names ...string) *realRails {
	t.Helper()
	n := &realRails{realNode: &realNode{send: bufpool.New(64 << 20), recv: bufpool.New(64 << 20)}}
	var err error
	if n.sys, err = rdma.Open(); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		d, err := n.sys.OpenDevice(name)
		if err != nil {
			t.Fatal(err)
		}
		n.devices = append(n.devices, d)
	}
	if n.Transport, err = verbs.New(verbs.Config{
		Rails: n.rails, Route: func(peer netip.Addr) (netip.Addr, error) { return peer, nil },
		SendPool: n.send, RecvPool: n.recv, Limits: l, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// rails are the ports that are up.
func (n *realRails) rails() (all []verbs.Rail, err error) {
	for _, d := range n.devices {
		p, err := d.Port(1)
		if err != nil {
			return nil, err
		}
		if p.Port = 1; p.State != rdma.PortActive {
			continue
		}
		g, err := d.GIDs()
		if err != nil {
			return nil, err
		}
		if usable, _ := verbs.RankGIDs(p, g); len(usable) > 0 {
			all = append(all, verbs.Rail{Device: d, Port: p, GIDs: usable})
		}
	}
	return all, nil
}

func (n *realRails) close(t *testing.T) {
	t.Helper()
	err := n.Transport.Close()
	for _, d := range n.devices {
		err = errors.Join(err, d.Close())
	}
	if err != nil {
		t.Errorf("%v (open: %v)", err, n.sys.Live())
	}
}

// sent is what went by a device.
func (n *realRails) sent(device string) verbs.Traffic {
	for _, a := range n.Accounts() {
		if a.Device == device {
			return a.Sent
		}
	}
	return verbs.Traffic{}
}

// TestRealTwoRails moves chunks over two devices. One of them loses its link in the
// middle: the session says which, the rest goes by the other, and the next session
// after that has both again.
func TestRealTwoRails(t *testing.T) {
	lab.RequireInside(t)
	const second, netdev = "rxe9", "v9"
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Errorf("%s %q: %v, %s", name, args, err, out) // also from where Fatal must not be
		}
	}
	run("ip", "link", "add", netdev, "mtu", "9000", "type", "veth", "peer", "name", "w9", "mtu", "9000")
	t.Cleanup(func() { run("ip", "link", "del", netdev) })
	run("ip", "link", "set", "w9", "up")
	run("lab-rxe", second, netdev, "10.99.9.1")
	first := os.Getenv(lab.EnvDevice)
	limits := verbs.Limits{Stall: 20 * time.Second, Rest: time.Millisecond, LongestRest: time.Millisecond}
	src, dst := newRealRails(t, limits, first, second), newRealRails(t, limits, first, second)
	defer dst.close(t)
	defer src.close(t)

	const size, chunk = 10<<20 + 123, 128 << 10
	data := make([]byte, size)
	_, _ = mrand.NewChaCha8([32]byte{9}).Read(data)
	move := func(s *soakSink, gate int, fault func(transport.Incoming, transport.Outgoing)) error {
		s.gate = &soakGate{left: gate, come: make(chan struct{}), opened: make(chan struct{})}
		return soakAttempt(t, src.realNode, dst.realNode, s, s.missing(data, chunk), chunk, fault, 0)
	}
	whole := func() {
		t.Helper()
		before := [2]verbs.Traffic{src.sent(first), src.sent(second)}
		s := &soakSink{data: make([]byte, size), landed: map[int64]int{}}
		if err := move(s, -1, func(transport.Incoming, transport.Outgoing) {}); err != nil || !bytes.Equal(s.data, data) {
			t.Fatalf("%v, equal %t", err, bytes.Equal(s.data, data))
		}
		for i, name := range []string{first, second} {
			a := src.sent(name)
			if a.Bytes == before[i].Bytes || a.Sessions != before[i].Sessions+1 || a.Open != 0 {
				t.Errorf("%s: %+v, before %+v, want a session more and a share of the bytes", name, a, before[i])
			}
		}
	}
	whole()

	s := &soakSink{data: make([]byte, size), landed: map[int64]int{}}
	err := move(s, 20, func(transport.Incoming, transport.Outgoing) { run("ip", "link", "set", netdev, "down") })
	if p, ok := errors.AsType[*transport.PathError](err); !ok || p.Path != second+" port 1" {
		t.Fatalf("%v, want %s to be named", err, second)
	}
	t.Log(err)
	if n := len(s.missing(data, chunk)); n == 0 {
		t.Error("nothing was left to send")
	}
	if err := move(s, -1, func(transport.Incoming, transport.Outgoing) {}); err != nil || !bytes.Equal(s.data, data) {
		t.Errorf("the rest by the other: %v, equal %t", err, bytes.Equal(s.data, data))
	}
	for off, n := range s.landed {
		if n != 1 {
			t.Errorf("the extent at %d landed %d times", off, n)
		}
	}
	if a := src.sent(second); a.Sessions != 2 {
		t.Errorf("%s without its link: %+v", second, a)
	}

	run("ip", "link", "set", netdev, "up")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if rails, err := src.rails(); err != nil || time.Now().After(deadline) {
			t.Fatalf("the port did not come back: %v", err)
		} else if len(rails) == 2 {
			break
		}
	}
	whole()
}
