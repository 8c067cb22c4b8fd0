package rdma

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestEventsAreAcknowledged: the fake library refuses to destroy a queue with
// an event that is not.
func TestEventsAreAcknowledged(t *testing.T) {
	r := newFakeRig(t)
	r.ready(t)
	wcs := make([]WorkCompletion, 8)
	for range 3 {
		// Several events in one Wait.
		for range 5 {
			if err := r.cq.RequestNotify(false); err != nil {
				t.Fatal(err)
			}
			if _, err := r.qp.PostSend(numbered(1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.channel.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := r.cq.Poll(wcs); n != 5 || err != nil {
			t.Errorf("polled %d, %v", n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if err := r.channel.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("all events were taken, but: %v", err)
		}
		cancel()
	}
}

func TestWaitParksUntilAnEvent(t *testing.T) {
	r := newFakeRig(t)
	r.ready(t)
	if err := r.cq.RequestNotify(false); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if err := r.channel.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if _, err := r.qp.PostSend(numbered(1)); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if n, err := r.cq.Poll(make([]WorkCompletion, 2)); n != 1 || err != nil {
		t.Errorf("polled %d, %v", n, err)
	}
}

func TestAsyncEventOfAQueuePair(t *testing.T) {
	r := newFakeRig(t)
	if err := r.qp.ToError(); err != nil {
		t.Fatal(err)
	}
	e, err := r.device.NextEvent(t.Context())
	if want := (AsyncEvent{Type: EventQueuePairFatal, QueuePair: 0x1234}); e != want || err != nil {
		t.Errorf("%v, %v", e, err)
	}
}

// TestWaitersOfMany share channel and device; each leaves when its context ends,
// and all when the object is closed.
func TestWaitersOfMany(t *testing.T) {
	r := newFakeRig(t)
	channel, err := r.device.CreateCompletionChannel()
	if err != nil {
		t.Fatal(err)
	}
	device, err := r.sys.OpenDevice("fake0")
	if err != nil {
		t.Fatal(err)
	}
	var stay, leave sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	waits := map[string]func(context.Context) error{
		"Wait":      channel.Wait,
		"NextEvent": func(ctx context.Context) error { _, err := device.NextEvent(ctx); return err },
	}
	for name, wait := range waits {
		for range 4 {
			stay.Go(func() {
				if err := wait(context.Background()); !errors.Is(err, ErrClosed) {
					t.Errorf("%s: %v", name, err)
				}
			})
			leave.Go(func() {
				if err := wait(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	cancel()
	leave.Wait()
	if err := errors.Join(channel.Close(), device.Close()); err != nil {
		t.Error(err)
	}
	stay.Wait()
	for name, wait := range waits {
		if err := wait(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

// TestCancelAgainstEvents: a context that ends at the same time as an event comes
// spoils no later wait.
func TestCancelAgainstEvents(t *testing.T) {
	r := newFakeRig(t)
	r.ready(t)
	wcs := make([]WorkCompletion, 8)
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		if err := r.cq.RequestNotify(false); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(cancel)
		wg.Go(func() {
			if _, err := r.qp.PostSend(numbered(1)); err != nil {
				t.Error(err)
			}
		})
		err := r.channel.Wait(ctx)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		wg.Wait()
		if err != nil { // then the event is still there
			if err := r.channel.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := r.cq.Poll(wcs); n != 1 || err != nil {
			t.Fatalf("polled %d, %v", n, err)
		}
	}
}

func TestLostChannelIsAnError(t *testing.T) {
	r := newFakeRig(t)
	t.Setenv("FAKE_EVENT_ERRNO", "5")
	if err := r.channel.Wait(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	if _, err := r.device.NextEvent(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
}
