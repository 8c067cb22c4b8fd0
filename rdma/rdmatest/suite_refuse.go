package rdmatest

import (
	"bytes"
	"testing"

	"github.com/xferd/xferd/rdma"
)

// suiteStates tries transitions that do not exist.
func suiteStates(t *testing.T, r Rig) {
	a := newSide(t, r.A)
	qp, err := a.pd.CreateQueuePair(usual().config, a.cq, a.cq)
	q := closing(t, qp, err)
	state := func(want rdma.QueuePairState) {
		t.Helper()
		if s, err := q.State(); err != nil || s != want {
			t.Errorf("state %v, %v; want %v", s, err, want)
		}
	}
	if q.Number() == 0 || q.Number()>>24 != 0 {
		t.Errorf("number %#x", q.Number())
	}
	if l := q.Limits(); l.MaxSend < 256 || l.MaxReceive < 256 || l.MaxSendSGE < 4 || l.MaxReceiveSGE < 4 || l.MaxInline < 64 {
		t.Errorf("less than was asked for: %+v", l)
	}
	rtr := rdma.ReadyToReceiveAttr{Address: a.addressOf(a), PathMTU: rdma.MTU256, DestNumber: q.Number(), MinRNRTimer: 12}
	rts := rdma.ReadyToSendAttr{Timeout: 14, RetryCount: 1, RNRRetry: 1}
	state(rdma.StateReset)
	if q.ToReadyToReceive(rtr) == nil || q.ToReadyToSend(rts) == nil {
		t.Error("RESET went to RTR or RTS")
	}
	noSend := func() {
		t.Helper()
		n, err := q.PostSend([]rdma.SendRequest{nothing(1, 1)})
		if wantErr(t, "PostSend", err, rdma.ErrState); n != 0 {
			t.Errorf("%d posted", n)
		}
	}
	noSend()
	n, err := q.PostReceive(receives(1))
	if wantErr(t, "PostReceive in RESET", err, rdma.ErrState); n != 0 {
		t.Errorf("%d receives posted", n)
	}
	if q.ToInit(rdma.InitAttr{Port: 200}) == nil {
		t.Error("port 200 was taken")
	}
	if err := q.ToInit(rdma.InitAttr{Port: 1}); err != nil {
		t.Fatal(err)
	}
	state(rdma.StateInit)
	mustReceive(t, q, receives(1)...)
	if q.ToReadyToSend(rts) == nil {
		t.Error("INIT went to RTS")
	}
	noSend()
	if err := q.ToReadyToReceive(rtr); err != nil {
		t.Fatal(err)
	}
	state(rdma.StateReadyToReceive)
	noSend()
	if err := q.ToReadyToSend(rts); err != nil {
		t.Fatal(err)
	}
	state(rdma.StateReadyToSend)
	if err := q.ToError(); err != nil {
		t.Fatal(err)
	}
	state(rdma.StateError)
	if q.ToReadyToSend(rts) == nil || q.ToInit(rdma.InitAttr{Port: 1}) == nil {
		t.Error("ERR was left")
	}
	a.awaitStatus(0, rdma.Flushed)
}

// suiteBadAddress resolves what is not there.
func suiteBadAddress(t *testing.T, r Rig) {
	a := newSide(t, r.A)
	used := map[int]bool{}
	gids, err := a.dev.GIDs()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range gids {
		used[g.Index] = true
	}
	hole := 0
	for used[hole] {
		hole++
	}
	v := a.addressOf(a)
	v.SourceIndex = hole
	if a.pd.CheckAddress(v) == nil {
		t.Errorf("entry %d of the GID table is empty, and works", hole)
	}
	local := a.addressOf(a)
	local.Global = false
	for name, v := range map[string]rdma.AddressVector{"empty entry": v, "not global": local} {
		qp, err := a.pd.CreateQueuePair(usual().config, a.cq, a.cq)
		q := closing(t, qp, err)
		if err := q.ToInit(rdma.InitAttr{Port: 1}); err != nil {
			t.Fatal(err)
		}
		if q.ToReadyToReceive(rdma.ReadyToReceiveAttr{Address: v, PathMTU: rdma.MTU1024, DestNumber: q.Number(), MinRNRTimer: 12}) == nil {
			t.Errorf("%s: ready to receive", name)
		}
	}
}

// refused expects that B refuses a write: A is told, B's memory stays as it is,
// and both queue pairs are in error.
func (p *pair) refused(w rdma.SendRequest, dst *rdma.MemoryRegion, want ...rdma.Status) {
	t := p.a.t
	t.Helper()
	before := bytes.Clone(dst.Bytes())
	mustReceive(t, p.qb, rdma.ReceiveRequest{ID: 4711})
	mustPost(t, p.qa, w)
	p.a.awaitStatus(w.ID, want...)
	if !bytes.Equal(dst.Bytes(), before) {
		t.Error("memory was changed")
	}
	// What the target has outstanding is flushed: it is in error as well.
	p.b.awaitStatus(4711, rdma.Flushed)
	mustPost(t, p.qa, nothing(99, 0))
	p.a.awaitStatus(99, rdma.Flushed)
	// Some drivers tell of the failure a moment before they change the state.
	for _, q := range []*rdma.QueuePair{p.qa, p.qb} {
		if s, err := q.State(); err != nil || s != rdma.StateError {
			t.Errorf("state %v, %v", s, err)
		}
	}
}

func suiteRemoteBounds(t *testing.T, r Rig) {
	a, b := newSide(t, r.A), newSide(t, r.B)
	src, dst := a.memory(1<<16, 0), b.memory(1<<16, targetAccess)
	fill(src.Bytes(), 1)
	at := func(addr uint64, n int) rdma.SendRequest {
		w := write(1, src, dst, 0, n)
		w.RemoteAddr = addr
		return w
	}
	key := write(1, src, dst, 0, 10)
	key.RemoteKey ^= 0x5a5a5a00
	for _, c := range []struct {
		name string
		w    rdma.SendRequest
	}{
		{"one byte before", at(dst.Addr()-1, 10)},
		{"one byte after", at(dst.Addr()+1<<16-9, 10)},
		{"all after", at(dst.Addr()+1<<16, 1)},
		{"longer than all", at(dst.Addr()+1, 1<<16)},
		{"end of the address space", at(^uint64(0)-3, 10)},
		{"another key", key},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := connect(t, a, b, usual())
			p.refused(c.w, dst, rdma.RemoteAccessError)
		})
	}
}

func suiteLocalBounds(t *testing.T, r Rig) {
	a, b := newSide(t, r.A), newSide(t, r.B)
	src, dst := a.memory(4096, 0), b.memory(8192, targetAccess)
	other := a.memoryIn(a.domain(), 4096, 0)
	gone := a.memory(4096, 0)
	lost := write(1, gone, dst, 0, 10)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	over := write(1, src, dst, 0, 10)
	over.SGE[0].Length = 4097
	for _, c := range []struct {
		name string
		w    rdma.SendRequest
	}{
		{"longer than the region", over},
		{"a region of another domain", write(1, other, dst, 0, 10)},
		{"a region that was closed", lost},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := connect(t, a, b, usual())
			// What was done before it stays done, what comes after it is not.
			before, after := write(0, src, dst, 0, 100), write(2, src, dst, 0, 100)
			mustPost(t, p.qa, before)
			a.awaitStatus(0, rdma.Success)
			mustPost(t, p.qa, c.w, after)
			// rxe tells no region at all as a queue pair's error, and from Linux
			// 6.4 on it can flush the cause along with the rest, so that it is
			// told nowhere.
			a.awaitStatus(1, rdma.LocalProtectionError, rdma.LocalQueuePairError, rdma.Flushed)
			a.awaitStatus(2, rdma.Flushed)
		})
	}
}

// suiteRights writes to what may not be written to.
func suiteRights(t *testing.T, r Rig) {
	a, b := newSide(t, r.A), newSide(t, r.B)
	src := a.memory(4096, 0)
	for _, c := range []struct {
		name   string
		memory rdma.Access
		queue  rdma.Access
	}{
		{"of memory, none", 0, rdma.RemoteWrite},
		{"of memory, local", rdma.LocalWrite, rdma.RemoteWrite},
		{"of memory, to read", rdma.LocalWrite | rdma.RemoteRead, rdma.RemoteWrite},
		{"of the queue pair", targetAccess, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := b.memory(4096, c.memory)
			pl := usual()
			pl.access = c.queue
			p := connect(t, a, b, pl)
			p.refused(write(1, src, dst, 0, 10), dst, rdma.RemoteAccessError, rdma.RemoteInvalidRequest)
		})
	}
}

// suiteDomains writes to memory of another protection domain.
func suiteDomains(t *testing.T, r Rig) {
	a, b := newSide(t, r.A), newSide(t, r.B)
	src, dst := a.memory(4096, 0), b.memory(4096, targetAccess)
	pl := usual()
	pl.pdB = b.domain()
	connect(t, a, b, pl).refused(write(1, src, dst, 0, 10), dst, rdma.RemoteAccessError)
}

// suiteClosedRegion writes to memory that is not registered any more.
func suiteClosedRegion(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	src, dst := p.a.memory(4096, 0), p.b.memory(4096, targetAccess)
	fill(src.Bytes(), 1)
	w := write(1, src, dst, 0, 4096)
	mustPost(t, p.qa, w)
	p.a.awaitOK(1)
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
	clear(dst.Bytes())
	p.refused(w, dst, rdma.RemoteAccessError)
}

// suiteNothingNeedsNoKey writes no bytes with a key of nothing, which works, and
// is why such a write proves nothing.
func suiteNothingNeedsNoKey(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	mustReceive(t, p.qb, receives(1)...)
	w := rdma.SendRequest{ID: 1, Op: rdma.OpWrite, Flags: rdma.Signaled, RemoteAddr: 0xdead0000, RemoteKey: 0xdeadbeef}
	mustPost(t, p.qa, w, nothing(2, 5))
	p.a.awaitOK(2)
	if wc := p.b.awaitOK(1)[0]; wc.Imm != 5 || wc.Bytes != 0 {
		t.Errorf("%+v", wc)
	}
}

// suiteNoReceive sends to a peer that has no receive posted: to one that posts it
// late, and to one that never does.
func suiteNoReceive(t *testing.T, r Rig) {
	pl := usual()
	pl.timer = 25 // 61 ms
	p := connectEnds(t, r, pl)
	mustPost(t, p.qa, nothing(1, 1))
	mustReceive(t, p.qb, receives(1)...)
	p.a.awaitOK(1)
	p.b.awaitOK(1)

	pl.timer, pl.ready = 12, 1
	p = connectEnds(t, r, pl)
	mustPost(t, p.qa, nothing(1, 1), nothing(2, 2))
	p.a.awaitStatus(1, rdma.ReceiverNotReadyRetries)
	p.a.awaitStatus(2, rdma.Flushed)
}

func suiteReceiveTooSmall(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	src, dst := p.a.memory(4096, 0), p.b.memory(4096, rdma.LocalWrite)
	mustReceive(t, p.qb, rdma.ReceiveRequest{ID: 8, NumSGE: 1, SGE: [rdma.MaxSGE]rdma.SGE{dst.Element(0, 10)}})
	mustPost(t, p.qa, rdma.SendRequest{ID: 1, Op: rdma.OpSend, Flags: rdma.Signaled, NumSGE: 1, SGE: [rdma.MaxSGE]rdma.SGE{src.Element(0, 11)}})
	if s := p.a.await(1)[0]; s.Status == rdma.Success || s.ID != 1 {
		t.Errorf("sender: %+v", s)
	}
	if s := p.b.await(1)[0]; s.Status == rdma.Success || s.ID != 8 {
		t.Errorf("receiver: %+v", s)
	}
}

// suiteSequenceNumbers connects ends that do not agree on the first packet. Ahead
// is an error; behind may look like success, but must not change memory.
func suiteSequenceNumbers(t *testing.T, r Rig) {
	a, b := newSide(t, r.A), newSide(t, r.B)
	src, dst := a.memory(4096, 0), b.memory(4096, targetAccess)
	fill(src.Bytes(), 1)
	pl := usual()
	pl.shiftPSN = -100
	p := connect(t, a, b, pl)
	mustPost(t, p.qa, write(1, src, dst, 0, 100))
	p.a.awaitStatus(1, rdma.RetryExceeded)
	pl.shiftPSN = 100
	p = connect(t, a, b, pl)
	mustPost(t, p.qa, write(1, src, dst, 0, 100))
	p.a.await(1)
	if !bytes.Equal(dst.Bytes(), make([]byte, 4096)) {
		t.Error("memory was changed")
	}
}

// suiteMTUMismatch connects ends with packets of different size.
func suiteMTUMismatch(t *testing.T, r Rig) {
	a, b := newSide(t, r.A), newSide(t, r.B)
	src, dst := a.memory(1<<16, 0), b.memory(1<<16, targetAccess)
	for _, m := range [][2]rdma.MTU{{rdma.MTU512, rdma.MTU256}, {rdma.MTU256, rdma.MTU512}} {
		pl := usual()
		pl.mtuA, pl.mtuB = m[0], m[1]
		p := connect(t, a, b, pl)
		mustPost(t, p.qa, write(1, src, dst, 0, 1<<16))
		p.a.awaitStatus(1, rdma.RemoteInvalidRequest, rdma.RetryExceeded)
	}
}
