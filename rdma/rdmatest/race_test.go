package rdmatest

import (
	"errors"
	"testing"

	"github.com/xferd/xferd/rdma"
)

// A queue can be closed while a queue pair is made that uses it twice: it is one
// before the other, and neither waits for ever.
func TestQueueClosedWhileItsQueuePairIsMade(t *testing.T) {
	f := New(t, Options{})
	f.Device("n1", DeviceConfig{Name: "a", Addrs: []string{"10.0.0.1"}})
	dev, err := rdma.New(f.Driver("n1")).OpenDevice("a")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	pd, err := dev.AllocProtectionDomain()
	if err != nil {
		t.Fatal(err)
	}
	defer pd.Close()
	for range 30000 {
		cq, err := dev.CreateCompletionQueue(4, nil)
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan error)
		go func() { closed <- cq.Close() }()
		qp, err := pd.CreateQueuePair(rdma.QueuePairConfig{MaxSend: 1, MaxReceive: 1}, cq, cq)
		switch cerr := <-closed; {
		case err == nil:
			if !errors.Is(cerr, rdma.ErrBusy) {
				t.Errorf("closed below a queue pair: %v", cerr)
			}
			if err := errors.Join(qp.Close(), cq.Close()); err != nil {
				t.Fatal(err)
			}
		case !errors.Is(err, rdma.ErrClosed) || cerr != nil:
			t.Errorf("%v, %v", err, cerr)
		}
	}
}
