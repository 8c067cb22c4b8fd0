package rdma

import (
	"errors"
	"syscall"
	"testing"
)

// numbered are n writes that the fake library can check.
func numbered(n int) []SendRequest {
	rs := make([]SendRequest, n)
	for i := range rs {
		addr := uint64(0x1000 * (i + 1))
		rs[i] = SendRequest{ID: uint64(i) << 33, Op: OpWrite, Flags: Signaled, RemoteAddr: addr, RemoteKey: uint32(i + 1), NumSGE: uint32(i % (MaxSGE + 1))}
		for j := range rs[i].SGE {
			rs[i].SGE[j] = SGE{Addr: addr + uint64(j), Length: 1, Key: uint32(i + 1)}
		}
	}
	return rs
}

func TestBatchesReachTheLibraryInSlices(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 128, 129, 150} {
		r := newFakeRig(t)
		r.ready(t)
		rs := numbered(n)
		if got, err := r.qp.PostSend(rs); got != n || err != nil {
			t.Fatalf("%d: %d, %v", n, got, err)
		}
		wcs := make([]WorkCompletion, 200)
		if got, err := r.cq.Poll(wcs); got != n || err != nil {
			t.Fatalf("%d: polled %d, %v", n, got, err)
		}
		for i, wc := range wcs[:n] {
			want := WorkCompletion{ID: rs[i].ID, Op: CompletedWrite, VendorError: rs[i].RemoteKey, Bytes: rs[i].NumSGE, QueuePair: 0x1234}
			if wc != want {
				t.Errorf("%d: completion %d is %+v, want %+v", n, i, wc, want)
			}
		}
	}
}

func TestFullQueueOfALibrary(t *testing.T) {
	r := newFakeRig(t)
	r.ready(t)
	if n, err := r.qp.PostSend(numbered(200)); n != 150 || !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := r.qp.PostReceive(make([]ReceiveRequest, 3)); n != 0 || !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("%d receives, %v", n, err)
	}
	wcs := make([]WorkCompletion, 70)
	for _, want := range []int{70, 70, 10, 0} {
		if n, err := r.cq.Poll(wcs); n != want || err != nil {
			t.Errorf("polled %d, want %d, %v", n, want, err)
		}
	}
	receives := make([]ReceiveRequest, 200)
	for i := range receives {
		receives[i] = ReceiveRequest{ID: uint64(i), NumSGE: uint32(i % (MaxSGE + 1))}
	}
	if n, err := r.qp.PostReceive(receives); n != 150 || !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("%d receives, %v", n, err)
	}
	for i := range 150 {
		if n, err := r.cq.Poll(wcs[:1]); n != 1 || err != nil || wcs[0].ID != uint64(i) || wcs[0].Op != CompletedReceive || wcs[0].Bytes != receives[i].NumSGE {
			t.Fatalf("receive %d: %+v, %v", i, wcs[0], err)
		}
	}
}

func TestImmediateIsInHostOrderHere(t *testing.T) {
	r := newFakeRig(t)
	r.ready(t)
	w := numbered(1)
	w[0].Op, w[0].Imm = OpWriteWithImm, 0x01020304
	if _, err := r.qp.PostSend(w); err != nil {
		t.Fatal(err)
	}
	var wc [1]WorkCompletion
	if _, err := r.cq.Poll(wc[:]); err != nil {
		t.Fatal(err)
	}
	// The vendor error is the byte that goes over the wire first. Of the flags
	// only that of the immediate is let through.
	if wc[0].Imm != 0x01020304 || wc[0].VendorError != 1 || wc[0].Flags != HasImm {
		t.Errorf("%+v", wc[0])
	}
}

func TestFailedCompletionHasNothingElse(t *testing.T) {
	r := newFakeRig(t)
	r.ready(t)
	w := numbered(2)[1:]
	w[0].SGE[0].Key = 99
	if _, err := r.qp.PostSend(w); err != nil {
		t.Fatal(err)
	}
	var wc [1]WorkCompletion
	if _, err := r.cq.Poll(wc[:]); err != nil {
		t.Fatal(err)
	}
	if want := (WorkCompletion{ID: w[0].ID, Status: LocalProtectionError, VendorError: 2, QueuePair: 0x1234}); wc[0] != want {
		t.Errorf("%+v, want %+v", wc[0], want)
	}
}

func TestBadPosts(t *testing.T) {
	r := newFakeRig(t)
	one := []ReceiveRequest{{}}
	if n, err := r.qp.PostReceive(one); n != 0 || !errors.Is(err, ErrState) {
		t.Errorf("a receive in RESET: %d, %v", n, err)
	}
	if n, err := r.qp.PostSend(numbered(1)); n != 0 || !errors.Is(err, ErrState) {
		t.Errorf("a send in RESET: %d, %v", n, err)
	}
	r.ready(t)
	rs, receives := numbered(100), make([]ReceiveRequest, 80)
	rs[70].NumSGE, receives[0].NumSGE = MaxSGE+1, 1<<31
	if n, err := r.qp.PostSend(rs); n != 70 || !errors.Is(err, syscall.EINVAL) {
		t.Errorf("too many elements: %d, %v", n, err)
	}
	if n, err := r.qp.PostReceive(receives); n != 0 || !errors.Is(err, syscall.EINVAL) {
		t.Errorf("too many elements of a receive: %d, %v", n, err)
	}
	wcs := make([]WorkCompletion, 100)
	if n, err := r.cq.Poll(wcs); n != 70 || err != nil {
		t.Errorf("polled %d, %v", n, err)
	}
	// They are in the queue, so their memory is the device's.
	t.Setenv("FAKE_DOORBELL", "1")
	if n, err := r.qp.PostSend(numbered(3)); n != 3 || !errors.Is(err, syscall.EIO) {
		t.Errorf("a doorbell that fails: %d, %v", n, err)
	}
	t.Setenv("FAKE_POLL", "1")
	if n, err := r.cq.Poll(wcs); n != 0 || !errors.Is(err, syscall.EIO) {
		t.Errorf("a queue that is lost: %d, %v", n, err)
	}
}

func TestPostAndPollDoNotAllocate(t *testing.T) {
	r := newFakeRig(t)
	r.ready(t)
	rs, receives, wcs := numbered(70), make([]ReceiveRequest, 3), make([]WorkCompletion, 100)
	allocs := testing.AllocsPerRun(100, func() {
		n, err := r.qp.PostSend(rs)
		m, err2 := r.qp.PostReceive(receives)
		if err := errors.Join(err, err2, r.cq.RequestNotify(false)); err != nil {
			t.Fatal(err)
		}
		if got, err := r.cq.Poll(wcs); got != n+m || err != nil {
			t.Fatal(got, err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if err := r.channel.Wait(t.Context()); err != nil { // the events are to be acknowledged
		t.Error(err)
	}
}
