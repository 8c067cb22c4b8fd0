package rdma_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/xferd/xferd/rdma"
)

// collect polls until n completions came.
func (e *end) collect(t *testing.T, n int) []rdma.WorkCompletion {
	t.Helper()
	var all []rdma.WorkCompletion
	wcs := make([]rdma.WorkCompletion, 100)
	for ctx := soon(t); len(all) < n; {
		if err := e.cq.RequestNotify(false); err != nil {
			t.Fatal(err)
		}
		got, err := e.cq.Poll(wcs)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, wcs[:got]...)
		if got == 0 {
			if err := e.channel.Wait(ctx); err != nil {
				t.Fatalf("after %d of %d completions: %v", len(all), n, err)
			}
		}
	}
	return all
}

func TestRealBatchesLongerThanACrossing(t *testing.T) {
	source, target := realPair(t)
	peer := target.address()
	const n = 120
	rs := make([]rdma.SendRequest, n)
	for i := range rs {
		source.memory[i] = byte(i + 1)
		rs[i] = source.write(uint64(i), peer, i, 1, rdma.Signaled)
	}
	if got, err := source.qp.PostSend(rs); got != n || err != nil {
		t.Fatal(got, err)
	}
	for i, wc := range source.collect(t, n) {
		if wc.ID != uint64(i) || wc.Err() != nil {
			t.Fatalf("completion %d: %+v", i, wc)
		}
	}
	for i := range rs {
		if target.memory[i] != byte(i+1) {
			t.Fatalf("byte %d is %d", i, target.memory[i])
		}
	}
}

func TestRealFullQueueSaysHowMany(t *testing.T) {
	source, target := realPair(t)
	peer := target.address()
	limit := source.qp.Limits().MaxSend
	rs := make([]rdma.SendRequest, 8*limit) // drivers take more than they say
	for i := range rs {
		rs[i] = source.write(uint64(i), peer, 0, 1<<20, rdma.Signaled)
	}
	n, err := source.qp.PostSend(rs)
	if n == len(rs) || n < limit || !errors.Is(err, syscall.ENOMEM) {
		t.Fatalf("posted %d of %d into a queue of %d: %v", n, len(rs), limit, err)
	}
	if err := source.qp.ToError(); err != nil {
		t.Fatal(err)
	}
	for i, wc := range source.collect(t, n) {
		if wc.ID != uint64(i) || wc.Status != rdma.Success && wc.Status != rdma.Flushed {
			t.Fatalf("completion %d: %+v", i, wc)
		}
	}
	if more, err := source.cq.Poll(make([]rdma.WorkCompletion, 4)); more != 0 || err != nil {
		t.Errorf("%d more completions, %v", more, err)
	}
}

func TestRealRequestsBeforeTheirTime(t *testing.T) {
	sys, name := realSystem(t)
	e := realEnd(t, sys, name, rdma.LocalWrite|rdma.RemoteWrite, rdma.RemoteWrite)
	if n, err := e.qp.PostSend([]rdma.SendRequest{e.write(1, e.address(), 0, 1, rdma.Signaled)}); n != 0 || !errors.Is(err, rdma.ErrState) {
		t.Errorf("a send in INIT: %d, %v", n, err)
	}
	if n, err := e.qp.PostReceive([]rdma.ReceiveRequest{{ID: 3}}); n != 1 || err != nil {
		t.Errorf("a receive in INIT: %d, %v", n, err)
	}
	if s, err := e.qp.State(); s != rdma.StateInit || err != nil {
		t.Errorf("state %s, %v", s, err)
	}
	if err := e.qp.ToError(); err != nil {
		t.Fatal(err)
	}
	if wc := e.collect(t, 1)[0]; wc.ID != 3 || wc.Status != rdma.Flushed {
		t.Errorf("the receive ends with %+v", wc)
	}
	if s, err := e.qp.State(); s != rdma.StateError || err != nil {
		t.Errorf("state %s, %v", s, err)
	}
	bad := e.write(9, e.address(), 0, 1, rdma.Signaled)
	bad.NumSGE = 9
	if n, err := e.qp.PostSend([]rdma.SendRequest{e.write(4, e.address(), 0, 1, rdma.Signaled), bad}); n != 1 || !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a request with too many elements: %d, %v", n, err)
	}
	if wc := e.collect(t, 1)[0]; wc.ID != 4 || wc.Status != rdma.Flushed {
		t.Errorf("a send in ERR ends with %+v", wc)
	}
}

func TestRealInlineAndElements(t *testing.T) {
	sys, name := realSystem(t)
	source, target := realEnd(t, sys, name, rdma.LocalWrite, 0), realEnd(t, sys, name, rdma.LocalWrite|rdma.RemoteWrite|rdma.RelaxedOrdering, rdma.RemoteWrite)
	old := source.qp
	var err error
	source.qp, err = source.pd.CreateQueuePair(rdma.QueuePairConfig{MaxSend: 8, MaxReceive: 1, MaxSendSGE: 4, MaxInline: 64}, source.cq, source.cq)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if l := source.qp.Limits(); l.MaxSend < 8 || l.MaxSendSGE < 4 || l.MaxInline < 64 {
		t.Errorf("limits %+v", l)
	}
	if err := source.qp.ToInit(rdma.InitAttr{Port: 1}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(target.connect(source.address()), source.connect(target.address())); err != nil {
		t.Fatal(err)
	}
	copy(source.memory, "onetwothreefour")
	r := source.write(1, target.address(), 0, 3, rdma.Signaled)
	r.NumSGE = 4
	r.SGE = [rdma.MaxSGE]rdma.SGE{source.mr.Element(0, 3), source.mr.Element(3, 3), source.mr.Element(6, 5), source.mr.Element(11, 4)}
	in := source.write(2, target.address(), 100, 3, rdma.Signaled|rdma.Inline)
	in.SGE[0] = source.mr.Element(0, 3)
	if _, err := source.qp.PostSend([]rdma.SendRequest{r, in}); err != nil {
		t.Fatal(err)
	}
	copy(source.memory[:3], "xxx") // the inline one was read already; of the other one nothing is certain
	source.collect(t, 2)
	if got := string(target.memory[3:15]); got != "twothreefour" {
		t.Errorf("gathered %q", got)
	}
	if got := string(target.memory[100:103]); got != "one" {
		t.Errorf("inline %q", got)
	}
}

// TestRealPostAndPollDoNotAllocate measures the whole way down to C.
func TestRealPostAndPollDoNotAllocate(t *testing.T) {
	source, target := realPair(t)
	rs := []rdma.SendRequest{source.write(1, target.address(), 0, 8, rdma.Signaled), source.write(2, target.address(), 8, 8, rdma.Signaled)}
	wcs := make([]rdma.WorkCompletion, 16)
	allocs := testing.AllocsPerRun(200, func() {
		if _, err := source.qp.PostSend(rs); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(rs); {
			got, err := source.cq.Poll(wcs)
			if err != nil {
				t.Fatal(err)
			}
			n += got
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a post and its polls", allocs)
	}
}
