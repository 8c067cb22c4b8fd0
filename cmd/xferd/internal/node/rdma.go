package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"

	"github.com/xferd/xferd/cluster"
	"github.com/xferd/xferd/internal/hostnet"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/verbs"
)

// fabric is the RDMA of this machine: it keeps devices open, and says which of
// their ports can be used at the moment. Having none is a normal state.
type fabric struct {
	sys     *rdma.System     // nil: never any
	missing transport.Reason // why, then
	why     error
	allowed []string // devices; empty is all
	log     *slog.Logger

	ending    context.Context
	stop      context.CancelFunc
	releasing sync.WaitGroup // goroutines that close devices which were let go

	mu      sync.Mutex
	closed  bool
	devices map[string]*watched
	old     map[*watched]struct{} // let go, and still in use by a session
	hears   func(*rdma.Device, rdma.AsyncEvent)
}

// openFabric looks for RDMA; sys is that of a test, or nil. It logs once what
// there is, or why not.
func openFabric(sys *rdma.System, allowed []string, log *slog.Logger) *fabric {
	f := &fabric{sys: sys, allowed: allowed, log: log, devices: map[string]*watched{}, old: map[*watched]struct{}{}}
	f.ending, f.stop = context.WithCancel(context.Background())
	if sys == nil {
		var err error
		if f.sys, err = rdma.Open(); err != nil {
			f.missing, f.why = reasonOf(err), err
		}
	}
	if f.sys != nil {
		// A kernel or a machine without devices stays so: hardware that comes
		// later needs a start of xferd, which keeps this check out of every
		// transfer.
		if _, err := f.sys.Devices(); err != nil {
			f.sys, f.missing, f.why = nil, reasonOf(err), err
		}
	}
	if f.sys == nil {
		log.Info("no RDMA on this node: data goes by TCP", "reason", string(f.missing), "error", f.why)
		return f
	}
	rails, err := f.rails()
	for i := range rails {
		r := &rails[i]
		log.Info("RDMA port", "device", r.Device.Name(), "port", r.Port.Port, "link", r.Port.LinkLayer.String(), "mtu", r.Port.ActiveMTU.Bytes(), "gid", r.GIDs[0].GID.String())
	}
	if err != nil {
		log.Warn("RDMA cannot be used now", "error", err)
	}
	return f
}

func reasonOf(err error) transport.Reason {
	u, ok := errors.AsType[*rdma.UnavailableError](err)
	if !ok {
		return transport.NoDevice
	}
	switch u.Reason {
	case rdma.NoLibrary, rdma.NoCgo:
		return transport.NoLibrary
	case rdma.NoKernel:
		return transport.NoKernel
	}
	return transport.NoDevice
}

// rails returns the ports that can be used now, asked anew each time: states,
// addresses and the places of addresses in tables change.
func (f *fabric) rails() ([]verbs.Rail, error) {
	fail := func(reason transport.Reason, err error) error {
		return &transport.UnavailableError{Transport: transport.RDMA, Reason: reason, Err: err}
	}
	if f.sys == nil {
		return nil, fail(f.missing, f.why)
	}
	var rails []verbs.Rail
	var reason transport.Reason
	var why error
	for range maxLooks {
		if rails, reason, why = f.usable(); !errors.Is(why, rdma.ErrClosed) {
			break
		}
	}
	if len(rails) == 0 {
		return nil, fail(reason, why)
	}
	return rails, nil
}

// maxLooks is how often devices are looked at that are let go meanwhile.
const maxLooks = 3

// usable is one look at all devices; without a rail it says why, by the last of
// them.
func (f *fabric) usable() ([]verbs.Rail, transport.Reason, error) {
	devices, err := f.open()
	if err != nil {
		return nil, transport.NoDevice, err
	}
	var rails []verbs.Rail
	reason, why := transport.NoDevice, errors.New("no device of this node is usable")
	for _, d := range devices {
		usable, r, err := railsOf(d.Device)
		if err != nil {
			f.letGo(d, err, slog.LevelDebug)
			reason, why = r, err
			continue
		}
		rails = append(rails, usable...)
	}
	return rails, reason, why
}

// reason says why RDMA cannot be used now, empty where it can.
func (f *fabric) reason() transport.Reason {
	_, err := f.rails()
	if u, ok := errors.AsType[*transport.UnavailableError](err); ok {
		return u.Reason
	}
	return transport.NoReason
}

// capabilities are what other nodes are told.
func (f *fabric) capabilities() (c cluster.Capability) {
	rails, _ := f.rails()
	for i := range rails {
		if rails[i].Port.LinkLayer == rdma.LinkInfiniBand {
			c |= cluster.CapIB
		} else {
			c |= cluster.CapRoCE
		}
	}
	return c
}

// railsOf returns the ports of a device that can be used, one at least, or why
// there is none.
func railsOf(d *rdma.Device) ([]verbs.Rail, transport.Reason, error) {
	attr, err := d.Attr()
	if err != nil {
		return nil, transport.NoDevice, err
	}
	var rails []verbs.Rail
	reason, why := transport.NoDevice, fmt.Errorf("%s has no port", d.Name())
	for p := 1; p <= attr.Ports; p++ {
		rail, r, err := railOf(d, p)
		if err != nil {
			reason, why = r, err
			continue
		}
		rails = append(rails, rail)
	}
	if len(rails) > 0 {
		return rails, transport.NoReason, nil
	}
	return nil, reason, why
}

func railOf(d *rdma.Device, port int) (verbs.Rail, transport.Reason, error) {
	p, err := d.Port(port)
	if err != nil {
		return verbs.Rail{}, transport.NoDevice, err
	}
	p.Port = port
	if p.State != rdma.PortActive {
		return verbs.Rail{}, transport.PortDown, fmt.Errorf("port %d of %s is %s", port, d.Name(), p.State)
	}
	entries, err := d.GIDs()
	if err != nil {
		return verbs.Rail{}, transport.NoGID, err
	}
	usable, _ := verbs.RankGIDs(p, entries)
	if len(usable) == 0 {
		return verbs.Rail{}, transport.NoGID, fmt.Errorf("port %d of %s has no RoCE v2 address that can be routed", port, d.Name())
	}
	return verbs.Rail{Device: d, Port: p, GIDs: usable}, transport.NoReason, nil
}

// transport makes the transport over these devices, which hears of their events.
func (f *fabric) transport(c verbs.Config) (*verbs.Transport, error) {
	c.Rails, c.Route = f.rails, route
	t, err := verbs.New(c)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hears = t.Event
	return t, nil
}

// route is how the verbs transport finds the address of this node that leads to
// a peer.
func route(peer netip.Addr) (netip.Addr, error) {
	r, err := hostnet.New().RouteTo(peer)
	return r.Source, err
}
