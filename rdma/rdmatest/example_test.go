package rdmatest_test

import (
	"testing"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
)

// Two hosts, of which the second stops to answer before the third request that
// the first sends.
func Example() {
	test := func(t *testing.T) {
		f := rdmatest.New(t, rdmatest.Options{})
		source := f.Device("n1", rdmatest.DeviceConfig{Addrs: []string{"10.0.0.1"}})
		f.Device("n2", rdmatest.DeviceConfig{Name: "mlx5_0", Addrs: []string{"10.0.0.2"}})
		target := f.Device("n2", rdmatest.DeviceConfig{Name: "mlx5_1", Addrs: []string{"10.0.1.2"}})

		one, two := rdma.New(f.Driver("n1")), rdma.New(f.Driver("n2"))
		rdmatest.CheckLive(t, one)
		rdmatest.CheckLive(t, two)
		source.Inject(rdmatest.SendFault{Index: 2, Before: f.Link(target, source).Drop})
		// Run the program under test on one and two.
	}
	_ = test
}
