package rdmatest

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
)

// patience is how long anything may take before the suite gives up: it also
// runs under emulation.
const patience = 60 * time.Second

// side is one end in use, closed at the end of the test.
type side struct {
	t    testing.TB
	dev  *rdma.Device
	port rdma.PortAttr
	gid  rdma.GIDEntry
	pd   *rdma.ProtectionDomain
	ch   *rdma.CompletionChannel
	cq   *rdma.CompletionQueue
}

type closer interface{ Close() error }

// closing closes something at the end of the test.
func closing[T closer](t testing.TB, c T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func openDevice(t testing.TB, e End) *rdma.Device {
	t.Helper()
	d, err := e.System.OpenDevice(e.Device)
	return closing(t, d, err)
}

func newSide(t testing.TB, e End) *side {
	t.Helper()
	s := &side{t: t, dev: openDevice(t, e)}
	var err error
	if s.port, err = s.dev.Port(1); err != nil {
		t.Fatal(err)
	}
	if s.port.State != rdma.PortActive {
		t.Fatalf("port is %s", s.port.State)
	}
	gids, err := s.dev.GIDs()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, g := range gids {
		switch {
		case g.Type != rdma.GIDRoCEv2 || g.GID.IsZero():
		case e.GID == g.GID, e.GID.IsZero() && !found, e.GID.IsZero() && s.gid.GID.Addr().IsLinkLocalUnicast() && !g.GID.Addr().IsLinkLocalUnicast():
			s.gid, found = g, true
		}
	}
	if !found {
		t.Fatalf("no GID of RoCE v2: %+v", gids)
	}
	s.pd = s.domain()
	s.ch = s.channel()
	s.cq = s.queue(1024)
	return s
}

func (s *side) domain() *rdma.ProtectionDomain {
	s.t.Helper()
	pd, err := s.dev.AllocProtectionDomain()
	return closing(s.t, pd, err)
}

func (s *side) channel() *rdma.CompletionChannel {
	s.t.Helper()
	ch, err := s.dev.CreateCompletionChannel()
	return closing(s.t, ch, err)
}

func (s *side) queue(depth int) *rdma.CompletionQueue {
	s.t.Helper()
	q, err := s.dev.CreateCompletionQueue(depth, s.ch)
	return closing(s.t, q, err)
}

// memory registers n bytes.
func (s *side) memory(n int, access rdma.Access) *rdma.MemoryRegion {
	s.t.Helper()
	return s.memoryIn(s.pd, n, access)
}

func (s *side) memoryIn(pd *rdma.ProtectionDomain, n int, access rdma.Access) *rdma.MemoryRegion {
	s.t.Helper()
	m, err := pd.Register(Memory(s.t, n), access)
	return closing(s.t, m, err)
}

const targetAccess = rdma.LocalWrite | rdma.RemoteWrite

// plan of a pair of queue pairs.
type pairing struct {
	config   rdma.QueuePairConfig
	access   rdma.Access // of both ends
	mtuA     rdma.MTU    // 0 is the smaller active one
	mtuB     rdma.MTU
	shiftPSN int32 // what B expects more than A sends
	retries  uint8
	ready    uint8
	timer    uint8                  // RNR, of both
	pdB      *rdma.ProtectionDomain // nil is B's
	cqB      *rdma.CompletionQueue
}

func usual() pairing {
	return pairing{
		config: rdma.QueuePairConfig{MaxSend: 256, MaxReceive: 256, MaxSendSGE: 4, MaxReceiveSGE: 4, MaxInline: 64},
		access: rdma.RemoteWrite | rdma.RemoteRead, retries: 1, ready: 6, timer: 12,
	}
}

// pair is two connected queue pairs, A's and B's.
type pair struct {
	a, b   *side
	qa, qb *rdma.QueuePair
}

// connectEnds opens both ends of a rig and connects them.
func connectEnds(t testing.TB, r Rig, p pairing) *pair {
	t.Helper()
	return connect(t, newSide(t, r.A), newSide(t, r.B), p)
}

func connect(t testing.TB, a, b *side, p pairing) *pair {
	t.Helper()
	pdB, cqB := p.pdB, p.cqB
	if pdB == nil {
		pdB = b.pd
	}
	if cqB == nil {
		cqB = b.cq
	}
	qa, err := a.pd.CreateQueuePair(p.config, a.cq, a.cq)
	qa = closing(t, qa, err)
	qb, err := pdB.CreateQueuePair(p.config, cqB, cqB)
	qb = closing(t, qb, err)
	psnA, psnB := rand.Uint32()&0xffffff, rand.Uint32()&0xffffff
	mtu := min(a.port.ActiveMTU, b.port.ActiveMTU)
	end := func(s, peer *side, q, other *rdma.QueuePair, mtu rdma.MTU, receive, send uint32) {
		t.Helper()
		if err := q.ToInit(rdma.InitAttr{Port: 1, Access: p.access}); err != nil {
			t.Fatal(err)
		}
		if err := q.ToReadyToReceive(rdma.ReadyToReceiveAttr{
			Address: s.addressOf(peer), PathMTU: mtu, DestNumber: other.Number(), PSN: receive, MaxReads: 1, MinRNRTimer: p.timer,
		}); err != nil {
			t.Fatal(err)
		}
		if err := q.ToReadyToSend(rdma.ReadyToSendAttr{PSN: send, Timeout: 14, RetryCount: p.retries, RNRRetry: p.ready, MaxReads: 1}); err != nil {
			t.Fatal(err)
		}
	}
	mtuOr := func(m rdma.MTU) rdma.MTU {
		if m == 0 {
			return mtu
		}
		return m
	}
	end(b, a, qb, qa, mtuOr(p.mtuB), uint32(int32(psnA)+p.shiftPSN)&0xffffff, psnB)
	end(a, b, qa, qb, mtuOr(p.mtuA), psnB, psnA)
	return &pair{a: a, b: b, qa: qa, qb: qb}
}

func (s *side) addressOf(peer *side) rdma.AddressVector {
	return rdma.AddressVector{Port: 1, Global: true, DestGID: peer.gid.GID, SourceIndex: s.gid.Index, HopLimit: 64}
}

// await returns n completions of the side's queue.
func (s *side) await(n int) []rdma.WorkCompletion { s.t.Helper(); return s.awaitOn(s.cq, n) }

func (s *side) awaitOn(q *rdma.CompletionQueue, n int) []rdma.WorkCompletion {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	wcs := make([]rdma.WorkCompletion, n)
	for got := 0; ; {
		if err := q.RequestNotify(false); err != nil {
			s.t.Fatal(err)
		}
		for {
			k, err := q.Poll(wcs[got:])
			if err != nil {
				s.t.Fatal(err)
			}
			if got += k; got == n {
				return wcs
			}
			if k == 0 {
				break
			}
		}
		if err := s.ch.Wait(ctx); err != nil {
			s.t.Fatalf("%d of %d completions: %v", got, n, err)
		}
	}
}

// awaitOK returns n completions, all of them good.
func (s *side) awaitOK(n int) []rdma.WorkCompletion {
	s.t.Helper()
	wcs := s.await(n)
	for i := range wcs {
		if err := wcs[i].Err(); err != nil {
			s.t.Fatalf("completion %d, request %d: %v", i, wcs[i].ID, err)
		}
	}
	return wcs
}

// awaitStatus takes one completion and checks its status.
func (s *side) awaitStatus(id uint64, want ...rdma.Status) rdma.Status {
	s.t.Helper()
	wc := s.await(1)[0]
	for _, w := range want {
		if wc.Status == w && wc.ID == id {
			return w
		}
	}
	s.t.Fatalf("request %d: %v (%d), want request %d: %v", wc.ID, wc.Status, wc.VendorError, id, want)
	return 0
}

func mustPost(t testing.TB, q *rdma.QueuePair, rs ...rdma.SendRequest) {
	t.Helper()
	if n, err := q.PostSend(rs); err != nil || n != len(rs) {
		t.Fatalf("posted %d of %d: %v", n, len(rs), err)
	}
}

func mustReceive(t testing.TB, q *rdma.QueuePair, rs ...rdma.ReceiveRequest) {
	t.Helper()
	if n, err := q.PostReceive(rs); err != nil || n != len(rs) {
		t.Fatalf("posted %d of %d receives: %v", n, len(rs), err)
	}
}

// receives are n receives without memory, numbered from 0.
func receives(n int) []rdma.ReceiveRequest {
	rs := make([]rdma.ReceiveRequest, n)
	for i := range rs {
		rs[i].ID = uint64(i)
	}
	return rs
}

// write returns the request that writes n bytes of src from an offset on to the
// same offset of dst.
func write(id uint64, src, dst *rdma.MemoryRegion, offset, n int) rdma.SendRequest {
	r := rdma.SendRequest{
		ID: id, Op: rdma.OpWrite, Flags: rdma.Signaled, RemoteAddr: dst.Addr() + uint64(offset), RemoteKey: dst.RemoteKey(),
	}
	if n > 0 {
		r.NumSGE, r.SGE[0] = 1, src.Element(offset, n)
	}
	return r
}

// withImm makes a write one that tells.
func withImm(r rdma.SendRequest, imm uint32) rdma.SendRequest {
	r.Op, r.Imm = rdma.OpWriteWithImm, imm
	return r
}

// nothing is the message that only tells: no bytes, no memory.
func nothing(id uint64, imm uint32) rdma.SendRequest {
	return rdma.SendRequest{ID: id, Op: rdma.OpWriteWithImm, Flags: rdma.Signaled, Imm: imm}
}

func fill(b []byte, seed uint64) {
	for i := range b {
		b[i] = byte(uint64(i)*0x9e3779b97f4a7c15>>56) ^ byte(seed*7+uint64(i>>9))
	}
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}
