package rdma

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/xferd/xferd/rdma/internal/ibv"
)

// libibverbs is the driver of real devices. It translates between the types of
// this package and those of ibv, which cannot import it.
type libibverbs struct{ lib *ibv.Library }

// Name is such as "libibverbs 1.14.44.0".
func (l libibverbs) Name() string {
	name, version, _ := strings.Cut(filepath.Base(l.lib.Path()), ".so.")
	return strings.TrimSpace(name + " " + version)
}

// transports are the names of enum ibv_transport_type.
var transports = map[int]string{0: "InfiniBand", 1: "iWARP", 2: "usNIC", 3: "usNIC UDP", 4: "unspecified"}

const transportInfiniBand = 0

func (l libibverbs) Devices() ([]DeviceInfo, error) {
	list, err := l.lib.Devices()
	if err != nil {
		if err := unavailable(err); errors.As(err, new(*UnavailableError)) {
			return nil, err
		}
		return nil, &Error{Verb: "ibv_get_device_list", Device: "devices", Err: err}
	}
	devices := make([]DeviceInfo, len(list))
	for i, d := range list {
		name := transports[d.Transport]
		if name == "" {
			name = fmt.Sprintf("transport %d", d.Transport)
		}
		devices[i] = DeviceInfo{Name: d.Name, GUID: d.GUID, Supported: d.Transport == transportInfiniBand, Transport: name}
	}
	return devices, nil
}

func (l libibverbs) OpenDevice(name string) (DriverDevice, error) {
	c, err := l.lib.Open(name)
	if err == nil {
		return verbsDevice{c}, nil
	}
	e := &Error{Verb: "ibv_open_device", Device: name, Err: unavailable(err)}
	if u, ok := errors.AsType[*UnavailableError](e.Err); ok {
		u.Err = fmt.Errorf("%s: %w", name, u.Err)
		return nil, u
	}
	return nil, e
}

// over gives the end of a wait the name that callers look for.
func over(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return ErrClosed
	}
	return err
}

type verbsDevice struct{ c *ibv.Context }

func (d verbsDevice) Attr() (DeviceAttr, error) {
	a, err := d.c.Attr()
	return DeviceAttr{
		VendorID: a.VendorID, VendorPart: a.VendorPart, Firmware: a.Firmware, Ports: a.Ports,
		MaxQueuePairs: a.MaxQP, MaxQueuePairRequests: a.MaxQPWR, MaxScatterGather: a.MaxSGE,
		MaxCompletionQueues: a.MaxCQ, MaxCompletions: a.MaxCQE,
		MaxMemoryRegions: a.MaxMR, MaxMemoryRegionSize: a.MaxMRSize, MaxProtectionDomains: a.MaxPD,
		MaxReadsAsTarget: a.MaxQPRdAtom, MaxReadsAsInitiator: a.MaxQPInitRdAtom,
		AckDelay: a.AckDelay, Software: a.VendorID == 0xffffff,
	}, err
}

func (d verbsDevice) Port(port int) (PortAttr, error) {
	if port < 1 || port > 255 {
		return PortAttr{}, syscall.EINVAL
	}
	a, err := d.c.Port(port)
	if err != nil {
		return PortAttr{}, err
	}
	return PortAttr{
		Port: port, State: PortState(a.State), LinkLayer: LinkLayer(a.LinkLayer),
		ActiveMTU: MTU(a.ActiveMTU), MaxMTU: MTU(a.MaxMTU), MaxMessage: a.MaxMessage,
		LID: a.LID, SMLID: a.SMLID, GIDTableLen: a.GIDTableLen, PKeyTableLen: int(a.PKeyTableLen),
		GRHRequired: a.GRHRequired, Speed: speed(a.ActiveSpeed, a.ActiveWidth),
	}, nil
}

// laneSpeeds are bits per second of a lane by active_speed of ibv_query_port(3):
// SDR, DDR, QDR, FDR10, FDR, EDR, HDR, NDR, as people call them.
var laneSpeeds = map[uint8]uint64{1: 25e8, 2: 5e9, 4: 1e10, 8: 1e10, 16: 14e9, 32: 25e9, 64: 5e10, 128: 1e11}

var lanes = map[uint8]uint64{1: 1, 2: 4, 4: 8, 8: 12, 16: 2}

func speed(active, width uint8) uint64 { return laneSpeeds[active] * lanes[width] }

func (d verbsDevice) GIDs() ([]GIDEntry, error) {
	list, err := d.c.GIDs()
	if err != nil {
		return nil, err
	}
	gids := make([]GIDEntry, len(list))
	for i, g := range list {
		// The types have the numbers of enum ibv_gid_type.
		gids[i] = GIDEntry{GID: GID(g.GID), Port: int(g.Port), Index: int(g.Index), Type: GIDType(g.Type), Interface: int(g.Interface)}
	}
	return gids, nil
}

func (d verbsDevice) AllocProtectionDomain() (DriverPD, error) {
	p, err := d.c.AllocPD()
	if err != nil {
		return nil, err
	}
	return verbsPD{p}, nil
}

func (d verbsDevice) CreateCompletionChannel() (DriverChannel, error) {
	c, err := d.c.CreateChannel()
	if err != nil {
		return nil, err
	}
	return verbsChannel{c}, nil
}

func (d verbsDevice) CreateCompletionQueue(depth int, channel DriverChannel) (DriverCQ, error) {
	var ch *ibv.Channel
	if channel != nil {
		ch = channel.(verbsChannel).c
	}
	q, err := d.c.CreateCQ(depth, ch)
	if err != nil {
		return nil, err
	}
	return verbsCQ{q}, nil
}

func (d verbsDevice) NextEvent(ctx context.Context) (AsyncEvent, error) {
	e, err := d.c.NextEvent(ctx)
	if err != nil {
		return AsyncEvent{}, over(err)
	}
	return AsyncEvent{Type: EventType(e.Type), Port: int(e.Port), QueuePair: e.QP}, nil
}

func (d verbsDevice) Close() error { return d.c.Close() }

type verbsChannel struct{ c *ibv.Channel }

func (c verbsChannel) Wait(ctx context.Context) error { return over(c.c.Wait(ctx)) }
func (c verbsChannel) Close() error                   { return c.c.Close() }
