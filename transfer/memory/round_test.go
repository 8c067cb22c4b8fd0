package memory_test

import (
	"bytes"
	"testing"

	"github.com/xferd/xferd/region"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/memory"
	"github.com/xferd/xferd/transport"
)

// opened opens an edge of a prepared transfer over size bytes of @d.
func (h *hand) opened(epoch uint64, size int64) {
	h.t.Helper()
	m := open("@d", epoch, transport.Range{Length: size})
	m.Options.Prepared = true
	h.say(m)
	hear[*transfer.Opened](h)
}

// plane brings up a data plane of it.
func (h *hand) plane(epoch uint64) *feed {
	h.t.Helper()
	h.say(&transfer.PrepareData{Transports: []string{transport.TCP}, Streams: 1})
	ready := hear[*transfer.DataReady](h)
	if ready.Err != nil {
		h.t.Fatal(ready.Err)
	}
	f, _ := h.dial(ready.Grant, epoch)
	return f
}

// send sends extent i of a post of half bytes, all of one value, and returns what
// became of it.
func (f *feed) send(seq, post uint64, i int64, value byte) transport.Code {
	c := chunk(i, half, value)
	c.Seq, c.Extents[0].Entry = seq, post
	f.chunks <- c
	return (<-f.done)[0].Code
}

func (h *hand) result() transfer.Result {
	h.t.Helper()
	return hear[*transfer.Results](h).Results[0]
}

func (h *hand) holds(want ...byte) {
	h.t.Helper()
	h.r.look(h.r.dst, "d", func(mem []byte) {
		for i, v := range want {
			if part := mem[i*mib : (i+1)*mib]; !bytes.Equal(part, bytes.Repeat([]byte{v}, mib)) {
				h.t.Errorf("extent %d begins with %d, not all of it is %d", i, part[0], v)
			}
		}
	})
}

// One post after the other is committed, each when all of it landed, without a word
// of the owner. What comes of another one than that which is due lands nowhere.
func TestPostsGoInOrder(t *testing.T) {
	r := newRig(t)
	r.create(r.dst, "d", make([]byte, half))
	h := r.hand(memory.Peer{Node: "n1"})
	h.opened(1, half)
	f := h.plane(1)
	before := r.info(r.dst, "d").Generation
	seq := uint64(0)
	send := func(post uint64, i int64, value byte, want transport.Code) {
		t.Helper()
		seq++
		if got := f.send(seq, post, i, value); got != want {
			t.Errorf("extent %d of post %d: %v, not %v", i, post, got, want)
		}
	}
	for post := range uint64(3) {
		v := byte(10 * (post + 1))
		send(post+1, 0, 99, transport.Refused) // it comes too early
		send(post, 1, v+1, transport.Placed)
		if info := r.info(r.dst, "d"); info.OpenWrites != 1 || info.Generation != before+post {
			t.Errorf("in the middle of post %d: %+v", post, info)
		}
		send(post, 1, v+1, transport.Placed) // once more
		send(post, 0, v, transport.Placed)
		res := h.result()
		if res.Entry != post || res.Outcome != transfer.OutcomePublished || res.Generation != before+post+1 || res.Bytes != half || res.Digest.IsZero() {
			t.Errorf("post %d: %+v", post, res)
		}
		send(post, 0, 98, transport.Refused) // it is late
		h.holds(v, v+1)
		if info := r.info(r.dst, "d"); info.OpenWrites != 0 || len(info.Torn) != 0 {
			t.Errorf("after post %d: %+v", post, info)
		}
	}
	h.say(&transfer.Finish{})
	if m := hear[*transfer.Finished](h); !m.Complete || m.Err != nil {
		t.Errorf("%+v", m)
	}
	<-h.served
	if info := r.info(r.dst, "d"); info.OpenWrites != 0 || len(info.Torn) != 0 || info.Generation != before+3 {
		t.Errorf("at the end: %+v", info)
	}
}

// A post that fails at its source leaves the ranges torn until the next one.
func TestPostIsGivenUp(t *testing.T) {
	r := newRig(t)
	r.create(r.dst, "d", make([]byte, half))
	h := r.hand(memory.Peer{Node: "n1"})
	h.opened(1, half)
	f := h.plane(1)
	f.send(1, 0, 0, 1)
	h.say(&transfer.EntryGiveUp{Err: &transfer.Error{Reason: transfer.SourceIOError}})
	if res := h.result(); res.Entry != 0 || res.Outcome != transfer.OutcomeFailed || res.Err.Reason != transfer.SourceIOError {
		t.Errorf("%+v", res)
	}
	if got := f.send(2, 0, 1, 1); got != transport.Refused {
		t.Errorf("an extent of the post that is over: %v", got)
	}
	f.send(3, 1, 0, 7)
	f.send(4, 1, 1, 8)
	if res := h.result(); res.Entry != 1 || res.Outcome != transfer.OutcomePublished {
		t.Errorf("%+v", res)
	}
	h.holds(7, 8)
	h.say(&transfer.EntryGiveUp{Entry: 1, Err: &transfer.Error{Reason: transfer.SourceIOError}}, // it crossed the result
		&transfer.EntryGiveUp{Entry: 3, Err: &transfer.Error{Reason: transfer.SourceIOError}})
	if m := hear[*transfer.Refused](h); m.Err.Reason != transfer.ProtocolError {
		t.Errorf("%+v", m.Err)
	}
}

// What landed before a data plane broke is known by the number of its post, and the
// rest goes by the next one.
func TestPostGoesOnAfterAFence(t *testing.T) {
	r := newRig(t)
	r.create(r.dst, "d", make([]byte, half))
	h := r.hand(memory.Peer{Node: "n1"})
	h.opened(1, half)
	f := h.plane(1)
	f.send(1, 0, 0, 1)
	f.send(2, 0, 1, 2)
	h.result()
	f.send(3, 1, 0, 3)
	h.say(&transfer.FenceData{Asked: []transfer.ExtentID{{Entry: 0, Offset: mib}, {Entry: 1}, {Entry: 1, Offset: mib}, {Entry: 2}}})
	m := hear[*transfer.DataFenced](h)
	if len(m.Landed) != 2 || m.Landed[0].Asked != 0 || m.Landed[1].Asked != 1 || m.Landed[1].Digest.IsZero() {
		t.Errorf("landed: %+v", m.Landed)
	}
	f = h.plane(1)
	f.send(1, 1, 1, 4)
	if res := h.result(); res.Entry != 1 || res.Outcome != transfer.OutcomePublished {
		t.Errorf("%+v", res)
	}
	h.holds(3, 4)
}

// However an edge ends: between two posts nothing is torn, and within one the ranges
// are, and nothing lands any more. P10.
func TestP10EndsOfPreparedEdges(t *testing.T) {
	ends := map[string]func(h *hand){
		"finish": func(h *hand) { h.say(&transfer.Finish{}); hear[*transfer.Finished](h) },
		"cancel": func(h *hand) { h.say(&transfer.Abort{End: transfer.EndCancel}); hear[*transfer.Finished](h) },
		"pause":  func(h *hand) { h.say(&transfer.Abort{End: transfer.EndPause}); hear[*transfer.Finished](h) },
		"the owner is lost": func(h *hand) {
			h.link.Close()
			<-h.served
			h.served <- nil
		},
		"the node stops": func(h *hand) { _ = h.r.target.Close() },
	}
	for name, end := range ends {
		for _, within := range []bool{false, true} {
			t.Run(map[bool]string{false: "between posts: ", true: "within a post: "}[within]+name, func(t *testing.T) {
				r := newRig(t)
				r.create(r.dst, "d", make([]byte, half))
				h := r.hand(memory.Peer{Node: "n1"})
				h.opened(1, half)
				f := h.plane(1)
				f.send(1, 0, 0, 1)
				f.send(2, 0, 1, 2)
				h.result()
				if within {
					f.send(3, 1, 0, 3)
				}
				end(h)
				r.look(r.dst, "d", func(mem []byte) { mem[mib] = 0xCA })
				c := chunk(1, half, 9)
				c.Seq, c.Extents[0].Entry = 4, 1
				f.chunks <- c
				<-h.served
				r.look(r.dst, "d", func(mem []byte) {
					if mem[mib] != 0xCA {
						t.Error("bytes landed after the end was told")
					}
				})
				info := r.info(r.dst, "d")
				if info.OpenWrites != 0 || (len(info.Torn) == 1) != within {
					t.Errorf("%+v", info)
				}
				if within && info.Torn[0] != (region.Range{Length: half}) {
					t.Errorf("torn: %v", info.Torn)
				}
			})
		}
	}
}

// What makes no sense of a prepared transfer is refused.
func TestBadPreparedOpens(t *testing.T) {
	r := newRig(t)
	r.create(r.dst, "d", make([]byte, half))
	for name, change := range map[string]func(m *transfer.Open){
		"no ranges": func(m *transfer.Open) { m.Ranges = nil },
		"dry run":   func(m *transfer.Open) { m.Options.DryRun = true },
		"a digest":  func(m *transfer.Open) { m.Options.Digest = transfer.DigestSHA256 },
	} {
		h := r.hand(memory.Peer{Node: "n1"})
		m := open("@d", 1, transport.Range{Length: half})
		m.Options.Prepared = true
		change(m)
		h.say(m)
		if got := hear[*transfer.Refused](h).Err.Reason; got != transfer.InvalidSpec {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, m := range []transfer.ToTarget{entry(half), &transfer.EntriesDone{Done: []transfer.EntryDone{{}}}, &transfer.EntryRestart{Entry: entry(half).Entries[0]}} {
		h := r.hand(memory.Peer{Node: "n1"})
		r.epoch++
		h.opened(r.epoch, half)
		h.say(m)
		if got := hear[*transfer.Refused](h).Err.Reason; got != transfer.ProtocolError {
			t.Errorf("%T: %s", m, got)
		}
		<-h.served
	}
}
