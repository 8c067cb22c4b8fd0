package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
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

	mu      sync.Mutex
	closed  bool
	devices map[string]*watched
	old     []*watched // lost, and still in use by a session
}

// watched is a device with the goroutine that takes its events.
type watched struct {
	*rdma.Device
	lost   bool // guarded by fabric.mu
	cancel context.CancelFunc
	done   chan struct{}
}

// openFabric looks for RDMA; sys is that of a test, or nil. It logs once what
// there is, or why not.
func openFabric(sys *rdma.System, allowed []string, log *slog.Logger) *fabric {
	f := &fabric{sys: sys, allowed: allowed, log: log, devices: map[string]*watched{}}
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
	devices, err := f.open()
	if err != nil {
		return nil, fail(transport.NoDevice, err)
	}
	var rails []verbs.Rail
	reason, why := transport.NoDevice, errors.New("no device of this node is usable")
	for _, d := range devices {
		attr, err := d.Attr()
		if err != nil {
			f.lose(d, err)
			why = err
			continue
		}
		for p := 1; p <= attr.Ports; p++ {
			rail, r, err := railOf(d.Device, p)
			if err != nil {
				reason, why = r, err
				continue
			}
			rails = append(rails, rail)
		}
	}
	if len(rails) == 0 {
		return nil, fail(reason, why)
	}
	return rails, nil
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

// open opens devices that are there and not open, and returns those that are.
func (f *fabric) open() ([]*watched, error) {
	infos, err := f.sys.Devices()
	if err != nil {
		return nil, err
	}
	f.retire()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errors.New("the node stops")
	}
	var open []*watched
	for _, i := range infos {
		if !i.Supported || len(f.allowed) > 0 && !slices.Contains(f.allowed, i.Name) {
			continue
		}
		w := f.devices[i.Name]
		if w != nil && w.lost {
			f.old = append(f.old, w)
			w = nil
		}
		if w == nil {
			d, err := f.sys.OpenDevice(i.Name)
			if err != nil {
				f.log.Warn("open RDMA device", "device", i.Name, "error", err)
				delete(f.devices, i.Name)
				continue
			}
			w = f.watch(d)
			f.devices[i.Name] = w
		}
		open = append(open, w)
	}
	return open, nil
}

// watch starts the goroutine that takes the events of a device.
func (f *fabric) watch(d *rdma.Device) *watched {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watched{Device: d, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for {
			e, err := d.NextEvent(ctx)
			if err != nil {
				if ctx.Err() == nil {
					f.lose(w, err)
				}
				return
			}
			f.log.Info("RDMA event", "device", d.Name(), "event", e.String())
			if e.Type == rdma.EventDeviceFatal {
				f.lose(w, errors.New("device fatal"))
			}
		}
	}()
	return w
}

// lose notes that a device is of no use any more: sessions on it fail by
// themselves, and it is opened anew when it is there again.
func (f *fabric) lose(w *watched, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !w.lost {
		w.lost = true
		f.log.Warn("RDMA device is lost", "device", w.Name(), "error", err)
	}
}

// retire closes lost devices that no session uses any more.
func (f *fabric) retire() {
	f.mu.Lock()
	old := f.old
	f.old = nil
	f.mu.Unlock() // their goroutines may want it
	old = slices.DeleteFunc(old, func(w *watched) bool { return w.end() == nil })
	f.mu.Lock()
	f.old = append(f.old, old...)
	f.mu.Unlock()
}

func (w *watched) end() error {
	w.cancel()
	<-w.done
	return w.Close()
}

// close closes the devices. Sessions on them are over, but for quarantined ones.
func (f *fabric) close() error {
	f.mu.Lock()
	f.closed = true
	all := f.old
	for _, w := range f.devices {
		all = append(all, w)
	}
	f.old, f.devices = nil, map[string]*watched{}
	f.mu.Unlock() // events that come meanwhile take it
	var errs []error
	for _, w := range all {
		errs = append(errs, w.end())
	}
	return errors.Join(errs...)
}

// route is how the verbs transport finds the address of this node that leads to
// a peer.
func route(peer netip.Addr) (netip.Addr, error) {
	r, err := hostnet.New().RouteTo(peer)
	return r.Source, err
}
