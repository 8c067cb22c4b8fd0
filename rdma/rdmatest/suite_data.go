package rdmatest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/xferd/xferd/rdma"
)

func suiteAttributes(t *testing.T, r Rig) {
	for _, e := range []End{r.A, r.B} {
		infos, err := e.System.Devices()
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, i := range infos {
			found = found || i.Name == e.Device && i.Supported
		}
		if !found {
			t.Errorf("%s is not among %+v", e.Device, infos)
		}
		s := newSide(t, e)
		if s.dev.Name() != e.Device {
			t.Errorf("name %q", s.dev.Name())
		}
		a, err := s.dev.Attr()
		if err != nil {
			t.Fatal(err)
		}
		if a.Ports < 1 || a.MaxQueuePairs < 1 || a.MaxQueuePairRequests < 1 || a.MaxScatterGather < 1 || a.MaxCompletions < 1 || a.MaxMemoryRegionSize == 0 {
			t.Errorf("attributes %+v", a)
		}
		if s.port.Port != 1 || s.port.ActiveMTU.Bytes() < 256 || s.port.MaxMTU < s.port.ActiveMTU || s.port.MaxMessage < 1<<20 {
			t.Errorf("port %+v", s.port)
		}
		if _, err := s.dev.Port(200); err == nil {
			t.Error("port 200 exists")
		}
		if err := s.pd.CheckAddress(s.addressOf(s)); err != nil {
			t.Error(err)
		}
	}
}

// suiteWriteSizes writes messages of all sizes that are special, and looks at
// the bytes around them.
func suiteWriteSizes(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	mtu := min(p.a.port.ActiveMTU, p.b.port.ActiveMTU).Bytes()
	const room = 1<<20 + 8192
	src, dst := p.a.memory(room, 0), p.b.memory(room, targetAccess)
	sizes := []int{0, 1, 63, 64, 65, mtu - 1, mtu, mtu + 1, 4 * mtu, 4*mtu + 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20}
	mustReceive(t, p.qb, receives(len(sizes))...)
	want := make([]byte, room)
	for i, n := range sizes {
		fill(src.Bytes(), uint64(i))
		clear(dst.Bytes())
		clear(want)
		const off = 4096 - 3
		copy(want[off:off+n], src.Bytes()[off:])
		mustPost(t, p.qa, withImm(write(uint64(i), src, dst, off, n), 0x80000000|uint32(n)))
		wc := p.b.awaitOK(1)[0]
		if wc.ID != uint64(i) || wc.Op != rdma.CompletedReceiveWithImm || wc.Flags&rdma.HasImm == 0 || wc.Imm != 0x80000000|uint32(n) ||
			wc.Bytes != uint32(n) || wc.QueuePair != p.qb.Number() {
			t.Fatalf("%d bytes: receive %+v", n, wc)
		}
		if !bytes.Equal(dst.Bytes(), want) {
			t.Fatalf("%d bytes: they, or those around them, are not what they should be", n)
		}
		wc = p.a.awaitOK(1)[0]
		if wc.ID != uint64(i) || wc.Op != rdma.CompletedWrite || wc.QueuePair != p.qa.Number() {
			t.Fatalf("%d bytes: send %+v", n, wc)
		}
	}
}

func suiteSendReceive(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	src, dst := p.a.memory(1<<17, 0), p.b.memory(1<<17, rdma.LocalWrite)
	fill(src.Bytes(), 1)
	for i, c := range []struct {
		n  int
		op rdma.Opcode
	}{{1, rdma.OpSend}, {5000, rdma.OpSendWithImm}, {0, rdma.OpSend}, {1 << 17, rdma.OpSend}} {
		clear(dst.Bytes())
		mustReceive(t, p.qb, rdma.ReceiveRequest{ID: uint64(100 + i), NumSGE: 1, SGE: [rdma.MaxSGE]rdma.SGE{dst.Element(0, 1<<17)}})
		s := rdma.SendRequest{ID: uint64(i), Op: c.op, Flags: rdma.Signaled, Imm: 77}
		if c.n > 0 {
			s.NumSGE, s.SGE[0] = 1, src.Element(0, c.n)
		}
		mustPost(t, p.qa, s)
		wc := p.b.awaitOK(1)[0]
		if wc.ID != uint64(100+i) || wc.Op != rdma.CompletedReceive || int(wc.Bytes) != c.n {
			t.Fatalf("%d bytes: receive %+v", c.n, wc)
		}
		if has := wc.Flags&rdma.HasImm != 0; has != (c.op == rdma.OpSendWithImm) || has && wc.Imm != 77 {
			t.Fatalf("%d bytes: immediate data %+v", c.n, wc)
		}
		if !bytes.Equal(dst.Bytes()[:c.n], src.Bytes()[:c.n]) {
			t.Fatalf("%d bytes differ", c.n)
		}
		if wc = p.a.awaitOK(1)[0]; wc.ID != uint64(i) || wc.Op != rdma.CompletedSend {
			t.Fatalf("%d bytes: send %+v", c.n, wc)
		}
	}
}

func suiteRead(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	const n = 100_001
	dst, src := p.a.memory(n, rdma.LocalWrite), p.b.memory(n, rdma.RemoteRead)
	fill(src.Bytes(), 3)
	want := bytes.Clone(src.Bytes())
	r1 := write(9, dst, src, 0, n)
	r1.Op = rdma.OpRead
	mustPost(t, p.qa, r1)
	if wc := p.a.awaitOK(1)[0]; wc.ID != 9 || wc.Op != rdma.CompletedRead {
		t.Fatalf("%+v", wc)
	}
	if !bytes.Equal(dst.Bytes(), want) {
		t.Error("other bytes were read")
	}
}

// suiteScatter gathers one message from several places, and scatters another.
func suiteScatter(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	src, dst := p.a.memory(1<<16, 0), p.b.memory(1<<16, targetAccess)
	fill(src.Bytes(), 5)
	cuts := [][2]int{{100, 1}, {9000, 7001}, {30_000, 64}, {50_000, 3000}}
	var want []byte
	w := rdma.SendRequest{ID: 1, Op: rdma.OpWriteWithImm, Flags: rdma.Signaled, RemoteAddr: dst.Addr() + 5, RemoteKey: dst.RemoteKey(), NumSGE: 4}
	var rr rdma.ReceiveRequest
	for i, c := range cuts {
		want = append(want, src.Bytes()[c[0]:c[0]+c[1]]...)
		w.SGE[i] = src.Element(c[0], c[1])
		rr.SGE[len(cuts)-1-i] = dst.Element(c[0], c[1])
	}
	mustReceive(t, p.qb, rdma.ReceiveRequest{ID: 2})
	mustPost(t, p.qa, w)
	p.b.awaitOK(1)
	p.a.awaitOK(1)
	if !bytes.Equal(dst.Bytes()[5:5+len(want)], want) || dst.Bytes()[4] != 0 || dst.Bytes()[5+len(want)] != 0 {
		t.Fatal("a write from several places")
	}
	clear(dst.Bytes())
	rr.ID, rr.NumSGE = 3, 4
	mustReceive(t, p.qb, rr)
	w.Op = rdma.OpSend
	mustPost(t, p.qa, w)
	p.b.awaitOK(1)
	p.a.awaitOK(1)
	var got []byte
	for i := range cuts {
		c := cuts[len(cuts)-1-i]
		got = append(got, dst.Bytes()[c[0]:c[0]+c[1]]...)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("a message to several places")
	}
}

// suiteInline posts small messages whose memory may be used again at once.
func suiteInline(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	most := p.qa.Limits().MaxInline
	if most < 64 {
		t.Fatalf("room for %d inline bytes, asked for 64", most)
	}
	src, dst := p.a.memory(64*64, 0), p.b.memory(64*64, targetAccess)
	mustReceive(t, p.qb, receives(1)...)
	for i := range 64 {
		fill(src.Bytes()[:64], uint64(i))
		w := write(uint64(i), src, dst, 0, 64)
		w.RemoteAddr += uint64(64 * i)
		w.Flags = rdma.Inline
		if i == 63 {
			w.Flags |= rdma.Signaled
			w = withImm(w, 1)
		}
		mustPost(t, p.qa, w)
		clear(src.Bytes())
	}
	p.b.awaitOK(1)
	if wc := p.a.awaitOK(1)[0]; wc.ID != 63 {
		t.Errorf("%+v", wc)
	}
	want := make([]byte, 64)
	for i := range 64 {
		if fill(want, uint64(i)); !bytes.Equal(dst.Bytes()[64*i:64*i+64], want) {
			t.Fatalf("message %d was read after it had been posted", i)
		}
	}
	// One byte more than there is room for is refused.
	big := p.a.memory(most+1, 0)
	w := write(1, big, big, 0, most+1)
	w.Flags |= rdma.Inline
	if n, err := p.qa.PostSend([]rdma.SendRequest{w}); err == nil || n != 0 {
		t.Errorf("%d inline bytes, room for %d: %v", most+1, most, err)
	}
}

// suiteChains posts many requests at once; they complete in order.
func suiteChains(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	const size, most = 700, 200
	src, dst := p.a.memory(size*most, 0), p.b.memory(size*most, targetAccess)
	fill(src.Bytes(), 11)
	for _, n := range []int{1, 2, 3, 16, 64, 199, most} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			clear(dst.Bytes())
			mustReceive(t, p.qb, receives(n)...)
			rs := make([]rdma.SendRequest, n)
			for i := range rs {
				rs[i] = withImm(write(uint64(i), src, dst, size*i, size), uint32(i))
			}
			mustPost(t, p.qa, rs...)
			for i, wc := range p.b.awaitOK(n) {
				if wc.Imm != uint32(i) || wc.ID != uint64(i) {
					t.Fatalf("message %d: %+v", i, wc)
				}
			}
			for i, wc := range p.a.awaitOK(n) {
				if wc.ID != uint64(i) {
					t.Fatalf("request %d: %+v", i, wc)
				}
			}
			if !bytes.Equal(dst.Bytes()[:n*size], src.Bytes()[:n*size]) {
				t.Fatal("bytes differ")
			}
		})
	}
}

// suiteSignaling asks for a completion of every nth request only: it stands for
// all before it, and the queue never fills up.
func suiteSignaling(t *testing.T, r Rig) {
	pl := usual()
	pl.config.MaxSend = 32
	p := connectEnds(t, r, pl)
	src, dst := p.a.memory(4096, 0), p.b.memory(4096, targetAccess)
	for _, every := range []int{1, 2, 7, 16} {
		for round := range 20 {
			rs := make([]rdma.SendRequest, every)
			for i := range rs {
				rs[i] = write(uint64(round), src, dst, i, 100)
				rs[i].Flags = 0
			}
			rs[every-1].Flags = rdma.Signaled
			rs[every-1].ID = 1000
			mustPost(t, p.qa, rs...)
			if wc := p.a.awaitOK(1)[0]; wc.ID != 1000 {
				t.Fatalf("every %d: %+v", every, wc)
			}
		}
	}
}

// suiteManyPairs uses several queue pairs on the same completion queues.
func suiteManyPairs(t *testing.T, r Rig) {
	a, b := newSide(t, r.A), newSide(t, r.B)
	const pairs, each, size = 4, 20, 5000
	src, dst := a.memory(pairs*each*size, 0), b.memory(pairs*each*size, targetAccess)
	fill(src.Bytes(), 17)
	var ps []*pair
	for range pairs {
		p := connect(t, a, b, usual())
		mustReceive(t, p.qb, receives(each)...)
		ps = append(ps, p)
	}
	for k := range each {
		for i, p := range ps {
			mustPost(t, p.qa, withImm(write(uint64(i), src, dst, (i*each+k)*size, size), uint32(k)))
		}
	}
	next := map[uint32]uint32{}
	for _, wc := range b.awaitOK(pairs * each) {
		if wc.Imm != next[wc.QueuePair] {
			t.Fatalf("message %d of queue pair %d came when %d was due", wc.Imm, wc.QueuePair, next[wc.QueuePair])
		}
		next[wc.QueuePair]++
	}
	a.awaitOK(pairs * each)
	if !bytes.Equal(src.Bytes(), dst.Bytes()) {
		t.Error("bytes differ")
	}
}

// suiteManyRounds goes around all rings many times, in both directions.
func suiteManyRounds(t *testing.T, r Rig) {
	pl := usual()
	pl.config.MaxSend, pl.config.MaxReceive = 8, 8
	p := connectEnds(t, r, pl)
	a, b := p.a.memory(4096, targetAccess), p.b.memory(4096, targetAccess)
	mustReceive(t, p.qa, receives(4)...)
	mustReceive(t, p.qb, receives(4)...)
	for i := range 500 {
		mustPost(t, p.qa, withImm(write(500, a, b, i, 64), uint32(i)))
		if wc := p.b.awaitOK(1)[0]; wc.Imm != uint32(i) || wc.ID != uint64(i%4) {
			t.Fatalf("round %d: %+v", i, wc)
		}
		p.a.awaitOK(1)
		mustReceive(t, p.qb, rdma.ReceiveRequest{ID: uint64(i % 4)})
		mustPost(t, p.qb, withImm(write(501, b, a, i, 64), uint32(i)))
		if wc := p.a.awaitOK(1)[0]; wc.Imm != uint32(i) || wc.ID != uint64(i%4) {
			t.Fatalf("round %d back: %+v", i, wc)
		}
		p.b.awaitOK(1)
		mustReceive(t, p.qa, rdma.ReceiveRequest{ID: uint64(i % 4)})
	}
}
