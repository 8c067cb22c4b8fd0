package hostnet

import (
	"errors"
	"fmt"
	"slices"

	"github.com/Mellanox/rdmamap"
)

// ErrNoRDMA says that a network interface has no RDMA device.
var ErrNoRDMA = errors.New("interface has no RDMA device")

// RDMAPort is one port of an RDMA device. Ports count from 1.
type RDMAPort struct {
	Device string
	Port   int
}

// RDMADevices lists the names of the host's RDMA devices. None at all is no
// error.
func (h *Host) RDMADevices() ([]string, error) { return h.sys.rdmaDevices() }

// RDMAPorts returns the RDMA ports behind an interface: for Ethernet those that
// have a GID on it, for IPoIB its parent. ErrNoRDMA if there is none.
func (h *Host) RDMAPorts(in *Interface) ([]RDMAPort, error) {
	if !okName(in.Name) {
		return nil, fmt.Errorf("%q: %w", in.Name, errName)
	}
	// rdmamap takes a class directory that it cannot read for an empty one.
	devices, err := h.sys.rdmaDevices()
	if err != nil {
		return nil, fmt.Errorf("RDMA devices: %w", err)
	}
	if len(devices) == 0 || in.Kind != Ethernet && in.Kind != InfiniBand {
		return nil, fmt.Errorf("%s: %w", in.Name, ErrNoRDMA)
	}
	device, mapErr := h.device(in)
	if mapErr == nil && device != "" && !slices.Contains(devices, device) {
		mapErr, device = fmt.Errorf("unknown RDMA device %q", device), ""
	}
	if in.Kind == InfiniBand {
		if device == "" {
			return nil, noRDMA(in, mapErr)
		}
		return []RDMAPort{{device, h.sys.ipoibPort(in.Name)}}, nil
	}
	if device != "" { // first what rdmamap found; the others may serve the link too (bond)
		i := slices.Index(devices, device)
		devices[0], devices[i] = devices[i], devices[0]
	}
	var list []RDMAPort
	for _, d := range devices {
		for _, p := range h.sys.portsOf(d, in.Name) {
			list = append(list, RDMAPort{d, p})
		}
	}
	if len(list) == 0 {
		return nil, noRDMA(in, mapErr)
	}
	return list, nil
}

func noRDMA(in *Interface, cause error) error {
	if cause != nil {
		return fmt.Errorf("%s: %w (%v)", in.Name, ErrNoRDMA, cause)
	}
	return fmt.Errorf("%s: %w", in.Name, ErrNoRDMA)
}

// ipoibAddr is the length of an IPoIB hardware address; rdmamap reads its last
// eight bytes unchecked.
const ipoibAddr = 20

// device asks rdmamap. "" without an error says that it found none.
func (h *Host) device(in *Interface) (device string, err error) {
	if in.Kind == InfiniBand && len(in.Hardware) != ipoibAddr {
		return "", fmt.Errorf("hardware address of %d bytes", len(in.Hardware))
	}
	defer func() {
		// The interface may change between our look and rdmamap's own.
		if p := recover(); p != nil {
			device, err = "", fmt.Errorf("rdmamap: %v", p)
		}
	}()
	return h.mapper(in.Name)
}

func mapNetdev(netdev string) (string, error) { return rdmamap.GetRdmaDeviceForNetdevice(netdev) }
