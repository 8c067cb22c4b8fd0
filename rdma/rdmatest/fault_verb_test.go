package rdmatest

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/test/bubble"
)

// use runs through all verbs of a device, and returns the first error. Whatever
// it made it closes.
func use(sys *rdma.System, mem []byte) (err error) {
	dev, err := sys.OpenDevice("fake0")
	if err != nil {
		return err
	}
	end := func(c closer) {
		for e := c.Close(); e != nil; e = c.Close() {
			err = e
		}
	}
	defer end(dev)
	if _, err := dev.Attr(); err != nil {
		return err
	}
	if _, err := dev.Port(1); err != nil {
		return err
	}
	gids, err := dev.GIDs()
	if err != nil {
		return err
	}
	pd, err := dev.AllocProtectionDomain()
	if err != nil {
		return err
	}
	defer end(pd)
	ch, err := dev.CreateCompletionChannel()
	if err != nil {
		return err
	}
	defer end(ch)
	cq, err := dev.CreateCompletionQueue(16, ch)
	if err != nil {
		return err
	}
	defer end(cq)
	mr, err := pd.Register(mem, targetAccess)
	if err != nil {
		return err
	}
	defer end(mr)
	qp, err := pd.CreateQueuePair(rdma.QueuePairConfig{MaxSend: 4, MaxReceive: 4}, cq, cq)
	if err != nil {
		return err
	}
	defer end(qp)
	own := rdma.AddressVector{Port: 1, Global: true, DestGID: gids[1].GID, SourceIndex: gids[1].Index}
	var wcs [8]rdma.WorkCompletion
	for _, f := range []func() error{
		func() error { return pd.CheckAddress(own) },
		func() error { return qp.ToInit(rdma.InitAttr{Port: 1, Access: rdma.RemoteWrite}) },
		func() error {
			return qp.ToReadyToReceive(rdma.ReadyToReceiveAttr{Address: own, PathMTU: rdma.MTU1024, DestNumber: qp.Number(), MinRNRTimer: 12})
		},
		func() error { return qp.ToReadyToSend(rdma.ReadyToSendAttr{Timeout: 14, RetryCount: 1, RNRRetry: 1}) },
		func() error { return cq.RequestNotify(false) },
		func() error { _, err := qp.PostReceive(receives(1)); return err },
		func() error { _, err := qp.PostSend([]rdma.SendRequest{nothing(1, 1)}); return err },
		func() error { _, err := cq.Poll(wcs[:]); return err },
		func() error { _, err := qp.State(); return err },
		qp.ToError,
	} {
		if err := f(); err != nil {
			return err
		}
	}
	return err
}

// Every verb can be made to fail, at any call; nothing is left behind.
func TestVerbsThatFail(t *testing.T) {
	k := newBench(t, Options{})
	mem := Memory(t, 4096)
	if err := use(k.rig.A.System, mem); err != nil {
		t.Fatal(err)
	}
	for v := VerbOpen; v <= VerbCloseDevice; v++ {
		k.a.Fail(v, 2, syscall.ENOMEM)
		if err := use(k.rig.A.System, mem); err != nil {
			t.Errorf("verb %d, first: %v", v, err)
		}
		wantErr(t, "second", use(k.rig.A.System, mem), syscall.ENOMEM)
		if err := use(k.rig.A.System, mem); err != nil {
			t.Errorf("verb %d, third: %v", v, err)
		}
		if live := k.rig.A.System.Live(); len(live) > 0 {
			t.Fatalf("verb %d left %q", v, live)
		}
	}
	c := k.a.Counters()
	if c.Contexts+c.ProtectionDomains+c.MemoryRegions+c.Channels+c.CompletionQueues+c.QueuePairs != 0 || c.Memory != 0 {
		t.Errorf("left on the device: %+v", c)
	}
	k.a.Fail(VerbAllocPD, 0, syscall.ENOMEM)
	for range 3 {
		wantErr(t, "always", use(k.rig.A.System, mem), syscall.ENOMEM)
	}
	k.a.Heal()
	if err := use(k.rig.A.System, mem); err != nil {
		t.Error(err)
	}
}

func TestRegistrationLimit(t *testing.T) {
	f := New(t, Options{})
	d := f.Device("n1", DeviceConfig{MaxMemory: 10_000})
	s := newSide(t, End{System: rdma.New(f.Driver("n1")), Device: d.Name()})
	one := s.memory(6000, 0)
	mem := Memory(t, 6000)
	_, err := s.pd.Register(mem, 0)
	wantErr(t, "over the limit", err, syscall.ENOMEM)
	if e, ok := errors.AsType[*rdma.Error](err); !ok || e.Hint == "" {
		t.Errorf("no hint: %v", err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	d.Fail(VerbRegister, 1, syscall.EFAULT)
	_, err = s.pd.Register(mem, 0)
	wantErr(t, "a mapping of a file", err, syscall.EFAULT)
	m, err := s.pd.Register(mem, 0)
	closing(t, m, err)
}

// Nobody answers at the peer's address: it takes a while, then it fails, and
// others are not held up.
func TestAddressThatNobodyHas(t *testing.T) {
	for name, at := range map[string]func(k *bench, s *side) rdma.AddressVector{
		"unknown": func(_ *bench, s *side) rdma.AddressVector {
			v := s.addressOf(s)
			v.DestGID[15] += 100
			return v
		},
		"slow": func(k *bench, s *side) rdma.AddressVector {
			k.a.Slow(VerbToReadyToReceive, 1, time.Second, syscall.ETIMEDOUT)
			return s.addressOf(s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				k := newBench(t, Options{Timeout: AsAsked})
				s := newSide(t, k.rig.A)
				q, err := s.pd.CreateQueuePair(usual().config, s.cq, s.cq)
				q = closing(t, q, err)
				if err := q.ToInit(rdma.InitAttr{Port: 1}); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				rtr := make(chan error)
				go func() {
					rtr <- q.ToReadyToReceive(rdma.ReadyToReceiveAttr{Address: at(k, s), PathMTU: rdma.MTU1024, DestNumber: 1, MinRNRTimer: 12})
				}()
				synctest.Wait()
				connect(t, s, newSide(t, k.rig.B), usual())
				if time.Since(start) != 0 {
					t.Error("somebody else had to wait")
				}
				wantErr(t, "RTR", <-rtr, syscall.ETIMEDOUT)
				if time.Since(start) != time.Second {
					t.Errorf("took %v", time.Since(start))
				}
			})
		})
	}
}

func TestUnavailableHost(t *testing.T) {
	f := New(t, Options{})
	sys := rdma.New(f.Driver("n1"))
	reason := func() rdma.Reason {
		_, err := sys.Devices()
		if e, ok := errors.AsType[*rdma.UnavailableError](err); ok {
			return e.Reason
		}
		return ""
	}
	if reason() != rdma.NoDevice {
		t.Error(reason())
	}
	for _, r := range []rdma.Reason{rdma.NoCgo, rdma.NoLibrary, rdma.NoKernel, rdma.NoPermission} {
		f.Unavailable("n1", &rdma.UnavailableError{Reason: r})
		if reason() != r {
			t.Errorf("%s instead of %s", reason(), r)
		}
		if _, err := sys.OpenDevice("fake0"); err == nil {
			t.Error("opened")
		}
	}
	f.Unavailable("n1", nil)
	f.Device("n2", DeviceConfig{})
	f.Device("n1", DeviceConfig{})
	f.Device("n1", DeviceConfig{Transport: "iWARP"})
	infos, err := sys.Devices()
	if err != nil || len(infos) != 2 || infos[0].Name != "fake0" || !infos[0].Supported || infos[1].Name != "fake1" || infos[1].Supported {
		t.Errorf("%+v, %v", infos, err)
	}
	if _, err := sys.OpenDevice("fake2"); err == nil {
		t.Error("opened what is not there")
	}
}

// nextEvent returns an event that has to be there already.
func nextEvent(t *testing.T, d *rdma.Device) rdma.AsyncEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	e, err := d.NextEvent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
