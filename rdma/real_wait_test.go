package rdma_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/test/lab"
)

func TestRealWaitEndsWithItsContext(t *testing.T) {
	source, _ := realPair(t)
	for range 3 { // the deadline of one must not be left for the next
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Millisecond, cancel)
		if err := source.channel.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Millisecond)
		if _, err := source.device.NextEvent(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("NextEvent: %v", err)
		}
		cancel()
	}
}

// TestRealCloseWakes: who waits gets ErrClosed, while the objects go.
func TestRealCloseWakes(t *testing.T) {
	sys, name := realSystem(t)
	before := openFiles(t)
	for range 20 {
		d, err := sys.OpenDevice(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := d.CreateCompletionChannel()
		if err != nil {
			t.Fatal(err)
		}
		q, err := d.CreateCompletionQueue(8, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.RequestNotify(false); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := c.Wait(context.Background()); !errors.Is(err, rdma.ErrClosed) {
					t.Errorf("Wait: %v", err)
				}
			})
			wg.Go(func() {
				if _, err := d.NextEvent(context.Background()); !errors.Is(err, rdma.ErrClosed) {
					t.Errorf("NextEvent: %v", err)
				}
			})
		}
		if err := c.Close(); !errors.Is(err, rdma.ErrBusy) {
			t.Errorf("Close of a channel with a queue: %v", err)
		}
		if err := errors.Join(q.Close(), c.Close(), d.Close()); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files are open, before it were %d", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestRealNoEventIsLost: several queues on one channel, one that waits, and
// writes that never stop.
func TestRealNoEventIsLost(t *testing.T) {
	source, target := realPair(t)
	const total = 4000
	peer := target.address()
	ctx := soon(t)
	slots := make(chan struct{}, 16)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range total {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			if _, err := source.qp.PostSend([]rdma.SendRequest{source.write(uint64(i), peer, 0, 64, rdma.Signaled)}); err != nil {
				t.Errorf("post %d: %v", i, err)
				return
			}
		}
	})
	defer wg.Wait()
	wcs := make([]rdma.WorkCompletion, 4)
	waits := 0
	for done := 0; done < total; {
		if err := source.cq.RequestNotify(false); err != nil {
			t.Fatal(err)
		}
		n, err := source.cq.Poll(wcs)
		if err != nil {
			t.Fatal(err)
		}
		for i := range wcs[:n] {
			if wcs[i].Err() != nil || wcs[i].ID != uint64(done) {
				t.Fatalf("completion %d: %+v", done, wcs[i])
			}
			done++
			<-slots
		}
		if n == 0 {
			waits++
			if err := source.channel.Wait(ctx); err != nil {
				t.Fatalf("after %d: %v", done, err)
			}
		}
	}
	t.Logf("%d writes, %d waits", total, waits)
}

// TestRealPortEvents takes the link down and up, and changes an address.
func TestRealPortEvents(t *testing.T) {
	netdev := os.Getenv(lab.EnvNetdev)
	if netdev == "" {
		t.Skip("only where links may be taken down: in the lab")
	}
	d := realDevice(t)
	events := make(chan rdma.AsyncEvent, 64)
	ctx, cancel := context.WithCancel(soon(t))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		for {
			e, err := d.NextEvent(ctx)
			if err != nil {
				return
			}
			events <- e
		}
	})
	expect := func(what rdma.EventType, state rdma.PortState) {
		t.Helper()
		for {
			select {
			case e := <-events:
				t.Log(e)
				if e.Type != what {
					continue
				}
				if e.Port != 1 {
					t.Errorf("%v, want port 1", e)
				}
				if p, err := d.Port(1); err != nil || p.State != state {
					t.Errorf("after %v the port is %s, %v", e, p.State, err)
				}
				return
			case <-ctx.Done():
				t.Fatalf("no %s", what)
			}
		}
	}
	run(t, "ip", "link", "set", netdev, "down")
	expect(rdma.EventPortError, rdma.PortDown)
	run(t, "ip", "link", "set", netdev, "up")
	expect(rdma.EventPortActive, rdma.PortActive)
	run(t, "ip", "address", "replace", "10.77.0.1/24", "dev", netdev)
	expect(rdma.EventGIDChange, rdma.PortActive)
	run(t, "ip", "address", "del", "10.77.0.1/24", "dev", netdev)
	expect(rdma.EventGIDChange, rdma.PortActive)
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
