package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// tree makes a file system of "path=content" lines.
func tree(lines ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for _, l := range lines {
		name, content, _ := strings.Cut(l, "=")
		m[name] = &fstest.MapFile{Data: []byte(content + "\n")}
	}
	return m
}

func TestSpeed(t *testing.T) {
	s := sysfs{tree("class/net/a/speed=100000", "class/net/b/speed=-1", "class/net/c/speed=4294967295", "class/net/d/speed=fast")}
	for name, want := range map[string]int64{"a": 100e9, "b": 0, "c": 0, "d": 0, "none": 0} {
		if got := s.speed(name); got != want {
			t.Errorf("%s: %d", name, got)
		}
	}
}

func TestNUMANode(t *testing.T) {
	s := sysfs{tree(
		"class/net/eth0/device/numa_node=1",
		"class/net/virt/device/numa_node=-1",
		"class/net/bond0/lower_eth0/x=", "class/net/vlan5/lower_bond0/x=",
		"class/net/loop/lower_loop/x=",
	)}
	for name, want := range map[string]int{"eth0": 1, "virt": UnknownNUMA, "bond0": 1, "vlan5": 1, "loop": UnknownNUMA, "none": UnknownNUMA} {
		if got := s.numaNode(name); got != want {
			t.Errorf("%s: %d", name, got)
		}
	}
}

func roceTree() fstest.MapFS {
	return tree(
		"class/infiniband/mlx5_0/ports/1/gid_attrs/ndevs/0=eth0",
		"class/infiniband/mlx5_0/ports/1/gid_attrs/ndevs/1=eth0.5",
		"class/infiniband/mlx5_1/ports/1/gid_attrs/ndevs/0=eth1",
		"class/infiniband/mlx5_1/ports/2/gid_attrs/ndevs/0=eth2",
		"class/infiniband/mlx5_2/ports/1/gid_attrs/ndevs/0=",
		"class/infiniband/mlx5_2/ports/x/gid_attrs/ndevs/0=eth0",
		"class/net/ib0/dev_port=1", "class/net/ib1/dev_id=0x0",
	)
}

func TestRDMAPorts(t *testing.T) {
	found := func(dev string) func(string) (string, error) {
		return func(string) (string, error) { return dev, nil }
	}
	failed := func(string) (string, error) { return "", errors.New("no such device") }
	guid := make(net.HardwareAddr, 20)
	for _, tc := range []struct {
		name   string
		in     Interface
		mapper func(string) (string, error)
		want   string
	}{
		{"ethernet", Interface{Name: "eth0", Kind: Ethernet}, found("mlx5_0"), "[{mlx5_0 1}]"},
		{"vlan", Interface{Name: "eth0.5", Kind: Ethernet}, found("mlx5_0"), "[{mlx5_0 1}]"},
		{"second port", Interface{Name: "eth2", Kind: Ethernet}, found("mlx5_1"), "[{mlx5_1 2}]"},
		{"rdmamap fails", Interface{Name: "eth1", Kind: Ethernet}, failed, "[{mlx5_1 1}]"},
		{"rdmamap lies", Interface{Name: "eth1", Kind: Ethernet}, found("gone"), "[{mlx5_1 1}]"},
		{"rdmamap panics", Interface{Name: "eth1", Kind: Ethernet}, func(string) (string, error) { panic("index") }, "[{mlx5_1 1}]"},
		{"none", Interface{Name: "eth9", Kind: Ethernet}, found(""), "none"},
		{"loopback", Interface{Name: "lo", Kind: Loopback}, found("mlx5_0"), "none"},
		{"ipoib", Interface{Name: "ib0", Kind: InfiniBand, Hardware: guid}, found("mlx5_1"), "[{mlx5_1 2}]"},
		{"ipoib by dev_id", Interface{Name: "ib1", Kind: InfiniBand, Hardware: guid}, found("mlx5_1"), "[{mlx5_1 1}]"},
		{"ipoib not found", Interface{Name: "ib0", Kind: InfiniBand, Hardware: guid}, found(""), "none"},
		{"ipoib with a short address", Interface{Name: "ib0", Kind: InfiniBand, Hardware: guid[:6]}, found("mlx5_1"), "none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := &Host{sys: sysfs{roceTree()}, mapper: tc.mapper}
			got, err := h.RDMAPorts(&tc.in)
			text := fmt.Sprint(got)
			if errors.Is(err, ErrNoRDMA) {
				text = "none"
			} else if err != nil {
				t.Fatal(err)
			}
			if text != tc.want {
				t.Errorf("got %s, want %s (%v)", text, tc.want, err)
			}
		})
	}
}

func TestRDMAWithoutKernelSupport(t *testing.T) {
	h := &Host{sys: sysfs{tree("class/net/eth0/speed=1")}, mapper: func(string) (string, error) { panic("not reached") }}
	if d, err := h.RDMADevices(); err != nil || len(d) != 0 {
		t.Errorf("%v %v", d, err)
	}
	if _, err := h.RDMAPorts(&Interface{Name: "eth0", Kind: Ethernet}); !errors.Is(err, ErrNoRDMA) {
		t.Error(err)
	}
	for _, name := range []string{"", "..", "a/b", "a\x00"} {
		if _, err := h.RDMAPorts(&Interface{Name: name, Kind: Ethernet}); !errors.Is(err, errName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// denied is a file system that may not be read.
type denied struct{}

func (denied) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func TestRDMAUnreadable(t *testing.T) {
	h := &Host{sys: sysfs{denied{}}, mapper: func(string) (string, error) { return "", nil }}
	if _, err := h.RDMADevices(); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	if _, err := h.RDMAPorts(&Interface{Name: "eth0", Kind: Ethernet}); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}

func TestFirstGlobal(t *testing.T) {
	p := netip.MustParsePrefix
	all := []Interface{
		{Name: "lo", Kind: Loopback, Up: true, Addrs: []netip.Prefix{p("127.0.0.1/8"), p("10.255.255.1/32")}},
		{Name: "eth0", Kind: Ethernet, Addrs: []netip.Prefix{p("10.0.0.1/24")}},
		{Name: "eth1", Kind: Ethernet, Up: true, Addrs: []netip.Prefix{p("fe80::1/64"), p("2001:db8::1/64"), p("169.254.1.1/16"), p("10.0.1.1/24")}},
	}
	if a, err := firstGlobal(all); err != nil || a.String() != "10.0.1.1" {
		t.Errorf("%v %v", a, err)
	}
	all[2].Addrs = all[2].Addrs[:2]
	if a, err := firstGlobal(all); err != nil || a.String() != "2001:db8::1" {
		t.Errorf("%v %v", a, err)
	}
	if _, err := firstGlobal(slices.Clone(all[:2])); !errors.Is(err, ErrNoAddress) {
		t.Error(err)
	}
}
