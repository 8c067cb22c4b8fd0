package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// UnknownNUMA is the NUMA node of an interface without one.
const UnknownNUMA = -1

// maxLower bounds the walk from a stacked interface (VLAN, bond, bridge) down to
// hardware.
const maxLower = 4

// sysfs reads facts below /sys. Names come from the kernel or were checked with
// okName.
type sysfs struct{ fs.FS }

var errName = errors.New("not an interface or device name")

// okName keeps a name from leading elsewhere: one path component.
func okName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) < 64 && !strings.ContainsAny(name, "/\x00")
}

func (s sysfs) text(elem ...string) (string, error) {
	b, err := fs.ReadFile(s.FS, path.Join(elem...))
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(b), "\n"), nil
}

func (s sysfs) number(elem ...string) (int64, error) {
	t, err := s.text(elem...)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(t), 0, 64) // dev_id is hexadecimal with 0x
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path.Join(elem...), err)
	}
	return n, nil
}

// speed returns bits per second, 0 where the driver does not say: virtual
// interfaces, and any that is down.
func (s sysfs) speed(netdev string) int64 {
	mbps, err := s.number("class/net", netdev, "speed")
	if err != nil || mbps <= 0 || mbps > 100_000_000 { // some drivers say 0xffffffff for unknown
		return 0
	}
	return mbps * 1_000_000
}

// numaNode returns the node of the hardware under an interface.
func (s sysfs) numaNode(netdev string) int { return s.numa(netdev, maxLower) }

func (s sysfs) numa(netdev string, depth int) int {
	if n, err := s.number("class/net", netdev, "device/numa_node"); err == nil && n >= 0 {
		return int(n)
	}
	if depth == 0 {
		return UnknownNUMA
	}
	for _, lower := range s.lower(netdev) {
		if n := s.numa(lower, depth-1); n != UnknownNUMA {
			return n
		}
	}
	return UnknownNUMA
}

// lower returns the interfaces that netdev is stacked on.
func (s sysfs) lower(netdev string) []string {
	entries, err := fs.ReadDir(s.FS, path.Join("class/net", netdev))
	if err != nil {
		return nil
	}
	var list []string
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), "lower_"); ok && okName(name) {
			list = append(list, name)
		}
	}
	return list
}

// rdmaDevices lists the RDMA devices. A kernel without RDMA has none: that is no
// error.
func (s sysfs) rdmaDevices() ([]string, error) {
	entries, err := fs.ReadDir(s.FS, "class/infiniband")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list, nil
}

// portsOf returns the ports of an RDMA device that have a GID on netdev, in
// order. Reading a GID slot that is free gives EINVAL: such slots are skipped.
func (s sysfs) portsOf(device, netdev string) []int {
	root := path.Join("class/infiniband", device, "ports")
	entries, err := fs.ReadDir(s.FS, root)
	if err != nil {
		return nil
	}
	var list []int
	for _, e := range entries {
		port, err := strconv.Atoi(e.Name())
		if err != nil || port < 1 || port > 255 {
			continue
		}
		ndevs := path.Join(root, e.Name(), "gid_attrs/ndevs")
		slots, err := fs.ReadDir(s.FS, ndevs)
		if err != nil {
			continue
		}
		if slices.ContainsFunc(slots, func(slot fs.DirEntry) bool {
			name, err := s.text(ndevs, slot.Name())
			return err == nil && name == netdev
		}) {
			list = append(list, port)
		}
	}
	slices.Sort(list)
	return list
}

// ipoibPort returns the port of an IPoIB interface, whose GID table names no
// netdev: dev_port counts from 0, older kernels say dev_id.
func (s sysfs) ipoibPort(netdev string) int {
	for _, f := range []string{"dev_port", "dev_id"} {
		if n, err := s.number("class/net", netdev, f); err == nil && n >= 0 && n < 255 {
			return int(n) + 1
		}
	}
	return 1
}
