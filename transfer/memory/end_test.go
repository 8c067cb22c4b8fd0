package memory_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/xferd/xferd/region"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/memory"
	"github.com/xferd/xferd/transport"
)

const half = 2 * mib

// partly brings a transfer of two extents to where one of them landed.
func partly(t *testing.T, r *rig, h *hand, epoch uint64) (*feed, chan error) {
	t.Helper()
	f, end := h.dial(h.begin("@d", epoch, half), epoch)
	f.chunks <- chunk(0, half, 7)
	if v := <-f.done; v[0].Code != transport.Placed {
		t.Fatalf("verdict %+v", v)
	}
	return f, end
}

// However an edge ends before its commit: nothing lands any more once that is told,
// whatever the sender still has on its way, and the ranges are torn until somebody
// writes them again. P10.
func TestP10NothingLandsAfterTheEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(r *rig, h *hand) error
		gone bool // of the region
	}{
		{name: "cancel", end: func(_ *rig, h *hand) error {
			h.say(&transfer.Abort{End: transfer.EndCancel})
			hear[*transfer.Finished](h)
			return nil
		}},
		{name: "pause", end: func(_ *rig, h *hand) error {
			h.say(&transfer.Abort{End: transfer.EndPause})
			hear[*transfer.Finished](h)
			return nil
		}},
		{name: "the source is given up", end: func(_ *rig, h *hand) error {
			h.say(&transfer.EntryGiveUp{Err: &transfer.Error{Reason: transfer.SourceIOError}})
			if res := hear[*transfer.Results](h).Results[0]; res.Outcome != transfer.OutcomeFailed || res.Err.Reason != transfer.SourceIOError {
				return fmt.Errorf("result %+v", res)
			}
			h.say(&transfer.Finish{})
			hear[*transfer.Finished](h)
			return nil
		}},
		{name: "the owner is lost", end: func(_ *rig, h *hand) error {
			h.link.Close()
			if err := <-h.served; transfer.ReasonOf(err) != transfer.OwnerUnreachable {
				return fmt.Errorf("the end is %w", err)
			}
			h.served <- nil
			return nil
		}},
		{name: "the node stops", end: func(r *rig, _ *hand) error { return r.target.Close() }},
		{name: "a newer attempt", end: func(r *rig, h *hand) error {
			next := r.hand(memory.Peer{Node: "n1"})
			next.say(open("@d", 9, transport.Range{Length: half}))
			hear[*transfer.Opened](next)
			if refused := hear[*transfer.Refused](h); refused.Err.Reason != transfer.StaleEpoch {
				return refused.Err
			}
			next.say(&transfer.Abort{End: transfer.EndCancel})
			hear[*transfer.Finished](next)
			return nil
		}},
		{name: "the region is deleted", gone: true, end: func(r *rig, h *hand) error {
			if err := r.dst.Delete(r.ctx, ann, "d", false); !errors.Is(err, region.ErrBusy) {
				return fmt.Errorf("deleted while it is written: %w", err)
			}
			if err := r.dst.Delete(r.ctx, ann, "d", true); err != nil {
				return err
			}
			if refused := hear[*transfer.Refused](h); refused.Err.Reason != transfer.RegionGone {
				return refused.Err
			}
			return nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.create(r.dst, "d", make([]byte, half))
			var mem []byte
			if !tt.gone { // a reader would hold the deletion up
				g, err := r.dst.Read(ann, "d")
				if err != nil {
					t.Fatal(err)
				}
				defer g.Close()
				mem = g.Memory()
			}
			before := r.info(r.dst, "d").Generation
			h := r.hand(memory.Peer{Node: "n1"})
			f, end := partly(t, r, h, 1)
			if err := tt.end(r, h); err != nil {
				t.Fatal(err)
			}
			// It is told: the memory is the program's again.
			for i := range mem {
				mem[i] = 0xCA
			}
			f.chunks <- chunk(1, half, 8)
			if err := <-end; err == nil {
				t.Error("the data plane goes on")
			}
			<-h.served
			if tt.gone {
				if _, err := r.dst.Get(ann, "d"); !errors.Is(err, region.ErrNotFound) {
					t.Errorf("the region: %v", err)
				}
				return
			}
			if !bytes.Equal(mem, bytes.Repeat([]byte{0xCA}, half)) {
				t.Error("bytes landed after the end was told")
			}
			info := r.info(r.dst, "d")
			if info.Generation != before || info.OpenWrites != 0 || len(info.Torn) != 1 || info.Torn[0] != (region.Range{Length: half}) {
				t.Errorf("%+v", info)
			}
		})
	}
}

// A cancel that comes after the last byte, while the commit is under way or after it,
// is told that nothing was left to stop: what is committed is never told as cancelled.
func TestCancelAfterTheCommit(t *testing.T) {
	for name, heard := range map[string]bool{"the result was heard": true, "it meets the commit": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.create(r.dst, "d", make([]byte, half))
			h := r.hand(memory.Peer{Node: "n1"})
			f, _ := partly(t, r, h, 1)
			f.chunks <- chunk(1, half, 8)
			<-f.done
			h.say(&transfer.EntriesDone{Done: []transfer.EntryDone{{}}})
			if !heard {
				h.say(&transfer.Abort{End: transfer.EndCancel})
			}
			res := hear[*transfer.Results](h).Results[0]
			if heard {
				h.say(&transfer.Abort{End: transfer.EndCancel})
			}
			if fin := hear[*transfer.Finished](h); !fin.Complete || fin.Err != nil {
				t.Errorf("%+v", fin)
			}
			<-h.served
			info := r.info(r.dst, "d")
			if res.Outcome != transfer.OutcomePublished || res.Generation != info.Generation || len(info.Torn) != 0 {
				t.Errorf("result %+v, region %+v", res, info)
			}
		})
	}
}

// unfenced is a data plane that can not be fenced.
type unfenced struct{ transport.Acceptor }

func (u unfenced) Prepare(ctx context.Context, e transport.Edge, s transport.Sink, o transport.PrepareOptions) (transport.Incoming, error) {
	in, err := u.Acceptor.Prepare(ctx, e, s, o)
	if err != nil {
		return nil, err
	}
	return unfencedIn{in}, nil
}

type unfencedIn struct{ transport.Incoming }

func (u unfencedIn) Close() error {
	_ = u.Incoming.Close()
	return fmt.Errorf("destroy the queue pair: %w", transport.ErrUnfenced)
}

// Memory that can not be fenced is nobody's any more, and everybody is told so.
func TestP10UnfencedMemoryIsQuarantined(t *testing.T) {
	ends := map[string]func(h *hand, f *feed) *transfer.Error{
		"cancel": func(h *hand, _ *feed) *transfer.Error {
			h.say(&transfer.Abort{End: transfer.EndCancel})
			return hear[*transfer.Finished](h).Err
		},
		"between two data planes": func(h *hand, _ *feed) *transfer.Error {
			h.say(&transfer.FenceData{})
			return hear[*transfer.Refused](h).Err
		},
		"at the end of all": func(h *hand, f *feed) *transfer.Error {
			f.chunks <- chunk(1, half, 8)
			<-f.done
			h.say(&transfer.EntriesDone{Done: []transfer.EntryDone{{}}})
			if res := hear[*transfer.Results](h).Results[0]; res.Outcome != transfer.OutcomePublished {
				h.t.Errorf("%+v", res)
			}
			h.say(&transfer.Finish{})
			return hear[*transfer.Finished](h).Err
		},
		"the owner is lost": func(h *hand, _ *feed) *transfer.Error {
			h.link.Close()
			<-h.served
			h.served <- nil
			return &transfer.Error{Reason: transfer.RegionQuarantined}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.acceptor = unfenced{r.tcp}
			r.create(r.dst, "d", make([]byte, half))
			h := r.hand(memory.Peer{Node: "n1"})
			f, _ := partly(t, r, h, 1)
			if err := end(h, f); err == nil || err.Reason != transfer.RegionQuarantined {
				t.Errorf("the owner is told %v", err)
			}
			<-h.served
			if info := r.info(r.dst, "d"); info.State != region.Quarantined || info.Detail == "" {
				t.Errorf("the region is %v, %q", info.State, info.Detail)
			}
			next := r.hand(memory.Peer{Node: "n1"})
			next.say(open("@d", 2, transport.Range{Length: half}))
			if got := hear[*transfer.Refused](next).Err.Reason; got != transfer.RegionQuarantined {
				t.Errorf("the next transfer: %s", got)
			}
		})
	}
}

// ordered notes what was done to a Writing and to a data plane.
type ordered struct {
	mu  sync.Mutex
	log []string
}

func (o *ordered) note(s string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log = append(o.log, s)
}

type notedWriting struct {
	memory.Writing
	o *ordered
}

func (w notedWriting) Close() error { w.o.note("give up"); return w.Writing.Close() }

type notedAcceptor struct {
	transport.Acceptor
	o *ordered
}

func (a notedAcceptor) Prepare(ctx context.Context, e transport.Edge, s transport.Sink, o transport.PrepareOptions) (transport.Incoming, error) {
	in, err := a.Acceptor.Prepare(ctx, e, s, o)
	if err != nil {
		return nil, err
	}
	return notedIncoming{in, a.o}, nil
}

type notedIncoming struct {
	transport.Incoming
	o *ordered
}

func (i notedIncoming) Close() error { i.o.note("fence"); return i.Incoming.Close() }

// The ranges are given up after the fence, and the owner is told after both.
func TestP10FenceComesFirst(t *testing.T) {
	r := newRig(t)
	var o ordered
	r.acceptor = notedAcceptor{r.tcp, &o}
	r.create(r.dst, "d", make([]byte, half))
	h := r.handOf(r.serving(func(w memory.Writing) memory.Writing { return notedWriting{w, &o} }), memory.Peer{Node: "n1"})
	partly(t, r, h, 1)
	h.say(&transfer.Abort{End: transfer.EndCancel})
	hear[*transfer.Finished](h)
	o.note("told")
	<-h.served
	if got := fmt.Sprint(o.log); got != "[fence give up told]" {
		t.Error(got)
	}
}
