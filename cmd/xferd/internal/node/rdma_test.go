package node

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xferd/xferd/internal/hostnet"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transport"
)

func newTestFabric(t *testing.T, allowed []string, devices ...rdmatest.DeviceConfig) (*fabric, *rdma.System, []*rdmatest.Device) {
	t.Helper()
	hosts := rdmatest.New(t, rdmatest.Options{})
	var all []*rdmatest.Device
	for _, c := range devices {
		all = append(all, hosts.Device("n1", c))
	}
	sys := rdma.New(hosts.Driver("n1"))
	rdmatest.CheckLive(t, sys)
	f := openFabric(sys, allowed, slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(func() {
		if err := f.close(); err != nil {
			t.Error(err)
		}
	})
	return f, sys, all
}

// closed waits until nothing of the system is open.
func closed(t *testing.T, sys *rdma.System) {
	t.Helper()
	for deadline := time.Now().Add(patience); len(sys.Live()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still open: %q", sys.Live())
		}
	}
}

// A device without a port of use is not kept open, since its driver could not be
// taken out then, and is used again when it works again. Looking at it does not
// keep it open either.
func TestDeviceIsLetGo(t *testing.T) {
	for _, c := range []struct {
		name     string
		lose     func(*rdmatest.Device)
		comeBack func(*rdmatest.Device)
		reason   transport.Reason
	}{
		{"port down", (*rdmatest.Device).PortDown, (*rdmatest.Device).PortUp, transport.PortDown},
		{"no address", func(d *rdmatest.Device) { d.SetAddrs() }, func(d *rdmatest.Device) { d.SetAddrs("10.0.0.1") }, transport.NoGID},
		{"removed", (*rdmatest.Device).Remove, (*rdmatest.Device).Restore, transport.NoDevice},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, sys, devices := newTestFabric(t, nil, rdmatest.DeviceConfig{Addrs: []string{"10.0.0.1"}})
			if r, err := f.rails(); err != nil || len(r) != 1 {
				t.Fatal(r, err)
			}
			c.lose(devices[0])
			closed(t, sys)
			if got := f.reason(); got != c.reason {
				t.Errorf("reason %s, want %s", got, c.reason)
			}
			f.describe()
			closed(t, sys)
			c.comeBack(devices[0])
			if r, err := f.rails(); err != nil || len(r) != 1 {
				t.Errorf("when it is back: %v, %v", r, err)
			}
		})
	}
}

// While a session uses the device it stays open.
func TestDeviceInUseIsLetGoLater(t *testing.T) {
	f, sys, devices := newTestFabric(t, nil, rdmatest.DeviceConfig{Addrs: []string{"10.0.0.1"}})
	rails, err := f.rails()
	if err != nil {
		t.Fatal(err)
	}
	pd, err := rails[0].Device.AllocProtectionDomain()
	if err != nil {
		t.Fatal(err)
	}
	devices[0].PortDown()
	for f.reason() != transport.PortDown {
		time.Sleep(time.Millisecond)
	}
	if live := sys.Live(); !slices.Contains(live, "protection domain") {
		t.Errorf("open: %q", live)
	}
	if err := pd.Close(); err != nil {
		t.Error(err)
	}
	closed(t, sys)
}

// Everything that explain shows: devices that are used, that are not, and why.
func TestFabricDescribesItself(t *testing.T) {
	f, _, devices := newTestFabric(t, []string{"good", "down", "warp"},
		rdmatest.DeviceConfig{Name: "good", Addrs: []string{"fd00::1", "10.0.0.1"}}, rdmatest.DeviceConfig{Name: "down", Addrs: []string{"10.0.1.1"}},
		rdmatest.DeviceConfig{Name: "warp", Transport: "iWARP"}, rdmatest.DeviceConfig{Name: "other"})
	devices[1].PortDown()
	all := f.describe()
	if len(all) != 4 {
		t.Fatalf("%+v", all)
	}
	for _, d := range all {
		switch d.Name {
		case "good":
			if d.Reason != "" || len(d.Ports) != 1 || d.Ports[0].MTU != 4096 || d.Ports[0].State != "ACTIVE" || d.Ports[0].Link != "Ethernet" {
				t.Errorf("%+v", d)
			}
			g := d.Ports[0].GIDs
			if g[0].GID != "::ffff:10.0.0.1" || g[0].Rejected != "" || g[1].GID != "fd00::1" || g[1].Rejected != "" {
				t.Errorf("the order is %+v", g)
			}
			for _, r := range g[2:] {
				if r.Rejected == "" {
					t.Errorf("no reason: %+v", r)
				}
			}
			if len(g) < 5 {
				t.Errorf("those that lost are missing: %+v", g)
			}
		case "down":
			if d.Reason != string(transport.PortDown) || !strings.Contains(d.Detail, "DOWN") {
				t.Errorf("%+v", d)
			}
		case "warp":
			if d.Reason != string(transport.NoDevice) || !strings.Contains(d.Detail, "iWARP") {
				t.Errorf("%+v", d)
			}
		case "other":
			if d.Reason != string(transport.NoDevice) || d.Detail != errNotNamed.Error() {
				t.Errorf("%+v", d)
			}
		}
	}
	local, err := hostnet.New().DefaultAdvertise()
	if err != nil {
		needs.Missing(t, "no address that can be routed: %v", err)
	}
	devices[0].SetAddrs(local.String())
	if r := routeOver(f.describe(), local); r.Device != "good" || r.Port != 1 || r.Err != nil || r.Source != local {
		t.Errorf("%+v", r)
	}
}
