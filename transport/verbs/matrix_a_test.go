package verbs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

// The tests of docs/rdma-tests.md have the names of its cases.

func TestA1NoRDMA(t *testing.T) {
	for _, want := range []transport.Reason{transport.NoLibrary, transport.NoKernel, transport.NoDevice, transport.PortDown, transport.NoGID} {
		t.Run(string(want), func(t *testing.T) {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				none := func([]Rail) ([]Rail, error) { return nil, unavailable("", want, errors.New("there is none")) }
				e, s, data := newEdge(), newStore(chunkSize), content(chunkSize)
				r.dst.rig = none
				if _, err := r.dst.Prepare(t.Context(), e.id, s, transport.PrepareOptions{Streams: 1, ChunkSize: chunkSize}); reason(t, err) != want {
					t.Errorf("target: %v", err)
				}
				r.dst.rig = nil
				r.prepare(t, e, s)
				r.src.rig = none
				if err := r.dial(t.Context(), e); reason(t, err) != want {
					t.Errorf("source: %v", err)
				}
				e.finish(t, data, s)
			})
		})
	}
	t.Run("host", func(t *testing.T) { // as the driver says it
		f := rdmatest.New(t, rdmatest.Options{})
		f.Unavailable("n1", &rdma.UnavailableError{Reason: rdma.NoKernel, Err: syscall.ENOSYS})
		if _, err := rdma.New(f.Driver("n1")).Devices(); !errors.Is(err, syscall.ENOSYS) {
			t.Error(err)
		}
	})
}

func TestA2Sizes(t *testing.T) {
	const mtu = 1024
	for _, message := range []uint32{0, 8 << 20} { // the longest request, as of rxe of 6.1
		inBubble(t, setup{mtu: [2]rdma.MTU{rdma.MTU1024, rdma.MTU1024}, message: message}, func(t *testing.T, r *rig) {
			const most = 9 << 20
			var all []*transport.Chunk
			s := newStore(most + 1)
			data := content(most + 1)
			offset := int64(0)
			for _, n := range []int64{0, 1, mtu - 1, mtu, mtu + 1, chunkSize - 1, chunkSize, chunkSize + 1, writeSize, writeSize + 1, 8<<20 + 1} {
				if offset+n > int64(len(data)) {
					offset = 0
				}
				x := transport.Extent{ExtentHeader: transport.ExtentHeader{Entry: 1, Offset: offset, Length: n}}
				if n > 0 {
					x.Segments, x.Bodies = []transport.Range{{Offset: offset, Length: n}}, []transport.Body{{Mem: data[offset : offset+n]}}
				}
				all = append(all, &transport.Chunk{Seq: uint64(len(all)), Extents: []transport.Extent{x}})
			}
			e := newEdge()
			in, err := r.dst.Prepare(t.Context(), e.id, s, transport.PrepareOptions{Streams: 2, ChunkSize: most, Verify: true})
			if err != nil {
				t.Fatal(err)
			}
			e.in = in.(*incoming)
			out, err := r.src.Dial(t.Context(), e.id, in.Grant(), transport.DialOptions{Streams: 2, ChunkSize: most, Verify: true, Control: e.control})
			if err != nil {
				t.Fatal(err)
			}
			e.out, e.feed = out.(*outgoing), transporttest.NewFeed(all...)
			if err := <-e.startFeed(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := e.close(t); err != nil {
				t.Error(err)
			}
			for _, c := range all {
				if v := e.feed.Verdict(t, c.Seq, 0); v.Code != transport.Placed {
					t.Errorf("%d bytes: %v, %v", c.Extents[0].Length, v.Code, v.Err)
				}
				h := c.Extents[0].ExtentHeader
				if got, want := s.data[h.Offset:h.End()], data[h.Offset:h.End()]; string(got) != string(want) {
					t.Errorf("%d bytes arrived changed", h.Length)
				}
			}
			if got := r.b.Counters().BytesLanded; got < uint64(r.dst.statsOf(e).Bytes) {
				t.Errorf("%d bytes landed by RDMA", got)
			}
		})
	}
}

func (n *node) statsOf(e *edge) transport.Stats { return e.in.Stats() }

func TestA2FarInAFile(t *testing.T) { // 5 GiB are a matter of offsets here
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		const far = 5<<30 - 1000
		mem := content(chunkSize)
		var got int64
		sink := newStore(0)
		sink.place = func(_ context.Context, offset int64) error { got = offset; return errors.New("seen") }
		e := r.connect(t, sink)
		e.feed = transporttest.NewFeed(&transport.Chunk{Extents: []transport.Extent{{
			ExtentHeader: transport.ExtentHeader{Entry: math.MaxUint32 + 7, Offset: far, Length: chunkSize, Segments: []transport.Range{{Offset: far, Length: chunkSize}}},
			Bodies:       []transport.Body{{Mem: mem}},
		}}})
		if err := <-e.startFeed(t.Context()); err == nil {
			t.Error("the sink's error was not told")
		}
		if got != far {
			t.Errorf("offset %d, want %d", got, int64(far))
		}
		_ = e.close(t)
	})
}

func TestA3MTU(t *testing.T) {
	for _, mtu := range [][2]rdma.MTU{{rdma.MTU1024, rdma.MTU1024}, {rdma.MTU4096, rdma.MTU1024}, {rdma.MTU1024, rdma.MTU4096}, {rdma.MTU2048, rdma.MTU4096}} {
		t.Run(fmt.Sprint(mtu[0].Bytes(), mtu[1].Bytes()), func(t *testing.T) {
			inBubble(t, setup{mtu: mtu}, func(t *testing.T, r *rig) {
				s, data := newStore(5*chunkSize), content(5*chunkSize)
				e := r.connect(t, s)
				if got := e.out.s.domains[0].path.mtu; got != min(mtu[0], mtu[1]) {
					t.Errorf("MTU %d, want the smaller one", got.Bytes())
				}
				if err := <-e.start(t.Context(), data, s); err != nil {
					t.Error(err)
				}
				if n := e.finish(t, data, s); n != 0 {
					t.Errorf("%d chunks did not go by RDMA", n)
				}
			})
		})
	}
	t.Run("too big", func(t *testing.T) { // ports that claim what the network drops
		inBubble(t, setup{mtu: [2]rdma.MTU{rdma.MTU1024, rdma.MTU1024}}, func(t *testing.T, r *rig) {
			big := func(rails []Rail) ([]Rail, error) {
				for i := range rails {
					rails[i].Port.ActiveMTU = rdma.MTU4096
				}
				return rails, nil
			}
			r.src.rig, r.dst.rig = big, big
			s, data, e := newStore(chunkSize), content(chunkSize), newEdge()
			r.prepare(t, e, s)
			if err := r.dial(t.Context(), e); reason(t, err) != transport.ProbeFailed {
				t.Errorf("%v, want %s", err, transport.ProbeFailed)
			}
			e.finish(t, data, s)
		})
	})
}

func TestA4GIDs(t *testing.T) {
	port := rdma.PortAttr{Port: 1, LinkLayer: rdma.LinkEthernet}
	entry := func(index int, addr string, typ rdma.GIDType) rdma.GIDEntry {
		return rdma.GIDEntry{GID: rdma.GIDOf(netip.MustParseAddr(addr)), Port: 1, Index: index, Type: typ}
	}
	const v1, v2 = rdma.GIDRoCEv1, rdma.GIDRoCEv2
	for _, tt := range []struct {
		name  string
		table []rdma.GIDEntry
		want  []int
	}{
		{"IPv4", []rdma.GIDEntry{entry(0, "fe80::1", v1), entry(1, "fe80::1", v2), entry(2, "10.0.0.1", v1), entry(3, "10.0.0.1", v2)}, []int{3}},
		{"IPv6", []rdma.GIDEntry{entry(1, "fe80::1", v2), entry(5, "2001:db8::1", v2)}, []int{5}},
		{"both, IPv4 first", []rdma.GIDEntry{entry(1, "2001:db8::1", v2), entry(7, "192.168.1.1", v2)}, []int{7, 1}},
		{"two addresses, of a VLAN or a bond", []rdma.GIDEntry{entry(3, "10.0.0.1", v2), entry(9, "10.1.0.1", v2)}, []int{3, 9}},
		{"only link-local", []rdma.GIDEntry{entry(0, "fe80::1", v1), entry(1, "fe80::1", v2)}, nil},
		{"only RoCE v1", []rdma.GIDEntry{entry(0, "10.0.0.1", v1)}, nil},
		{"holes", []rdma.GIDEntry{{Port: 1, Index: 0, Type: v2}, entry(250, "10.0.0.1", v2), {Port: 1, Index: 251, Type: v2}}, []int{250}},
		{"another port", []rdma.GIDEntry{{GID: rdma.GIDOf(netip.MustParseAddr("10.0.0.1")), Port: 2, Index: 4, Type: v2}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			usable, rejected := RankGIDs(port, tt.table)
			var got []int
			for _, g := range usable {
				got = append(got, g.Index)
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("entries %v, want %v", got, tt.want)
			}
			for _, g := range rejected {
				if g.Why == "" {
					t.Errorf("entry %d is rejected without a word", g.Index)
				}
			}
		})
	}
	t.Run("the route picks one of two", func(t *testing.T) {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			r.a.SetAddrs("10.9.9.9", "10.0.0.1")
			e := r.connect(t, newStore(0))
			if got := e.out.s.domains[0].path.gid.GID.Addr().String(); got != "10.0.0.1" {
				t.Errorf("from %s", got)
			}
			_ = e.close(t)
		})
	})
}

func TestA5GIDsMoveBetweenSessions(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		s, data := newStore(4*chunkSize), content(4*chunkSize)
		e := r.connect(t, s)
		before := e.out.s.domains[0].path.gid.Index
		done := e.start(t.Context(), data[:2*chunkSize], s)
		r.a.ShuffleGIDs() // those that are connected go on
		r.b.ShuffleGIDs()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := e.close(t); err != nil {
			t.Error(err)
		}
		for range 3 {
			e = r.connect(t, s)
			if got := e.out.s.domains[0].path.gid.Index; got == before {
				t.Errorf("index %d again", got)
			}
			if err := <-e.start(t.Context(), data, s); err != nil {
				t.Error(err)
			}
			if err := e.close(t); err != nil {
				t.Error(err)
			}
			r.a.SetAddrs() // deleted and added again
			r.a.SetAddrs("10.0.0.1")
			r.a.ShuffleGIDs()
			r.b.ShuffleGIDs()
		}
		s.check(t, data)
	})
}

func TestA6AddressThatNobodyHas(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		s, data := newStore(2*chunkSize), content(2*chunkSize)
		good := r.connect(t, s)
		r.b.Slow(rdmatest.VerbToReadyToReceive, 1, time.Second, syscall.ETIMEDOUT)
		e := newEdge()
		r.prepare(t, e, newStore(0))
		start, dialed := time.Now(), make(chan error, 1)
		go func() { dialed <- r.dial(t.Context(), e) }()
		// The others go on meanwhile.
		if err := <-good.start(t.Context(), data, s); err != nil {
			t.Error(err)
		}
		if err := <-dialed; reason(t, err) != transport.QPError {
			t.Errorf("%v, want %s", err, transport.QPError)
		}
		if d := time.Since(start); d > 3*time.Second { // on the clock of the bubble
			t.Errorf("it took %s", d)
		}
		_ = e.close(t)
		good.finish(t, data, s)
	})
}

// eachMessage runs f with the nth message of the set-up lost to a process that
// dies there, in each direction.
func eachMessage(t *testing.T, f func(t *testing.T, cut func(e *edge))) {
	for _, from := range []string{"source", "target"} {
		for n := range 2 {
			t.Run(fmt.Sprint(from, n), func(t *testing.T) {
				f(t, func(e *edge) {
					cut := func(i int, msg []byte) ([]byte, error) {
						if i == n {
							return nil, errCut
						}
						return msg, nil
					}
					if from == "source" {
						e.toTarget = cut
					} else {
						e.toSource = cut
					}
				})
			})
		}
	}
}

// rewrite changes a message of the set-up.
func rewrite[M any](msg []byte, change func(*M)) []byte {
	var m M
	if err := json.Unmarshal(msg[1:], &m); err != nil {
		panic(err)
	}
	change(&m)
	return encode(kind(msg[0]), m)
}
