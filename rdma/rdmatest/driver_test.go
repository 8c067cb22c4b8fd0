package rdmatest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/rdma"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDriver(t *testing.T) {
	RunDriver(t, func(t *testing.T) Rig {
		f := New(t, Options{})
		a := f.Device("n1", DeviceConfig{Addrs: []string{"10.0.0.1"}})
		b := f.Device("n2", DeviceConfig{Addrs: []string{"10.0.0.2"}})
		return Rig{
			A: End{System: rdma.New(f.Driver("n1")), Device: a.Name()},
			B: End{System: rdma.New(f.Driver("n2")), Device: b.Name()},
		}
	})
}

// One device with itself, small packets, everything seen by the race detector.
func TestDriverLoopback(t *testing.T) {
	RunDriver(t, func(t *testing.T) Rig {
		f := New(t, Options{Visible: true, FreshKeys: true})
		f.Device("n1", DeviceConfig{Name: "lo0", Addrs: []string{"fd00::1"}, MTU: rdma.MTU1024})
		sys := rdma.New(f.Driver("n1"))
		return Rig{A: End{System: sys, Device: "lo0"}, B: End{System: sys, Device: "lo0"}}
	})
}
