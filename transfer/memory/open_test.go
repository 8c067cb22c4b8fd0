package memory_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/memory"
	"github.com/xferd/xferd/transfer/sender"
	"github.com/xferd/xferd/transport"
)

// What an owner may ask for that is refused, and with what reason.
func TestOpenRefused(t *testing.T) {
	type rg = transport.Range
	const size = 2 * mib
	whole := func(change func(m *transfer.Open)) *transfer.Open {
		m := open("@d", 1, rg{Length: size})
		change(m)
		return m
	}
	for _, tt := range []struct {
		name string
		m    *transfer.Open
		want transfer.Reason
	}{
		{"out of range by one byte", open("@d", 1, rg{Length: size + 1}), transfer.RegionRange},
		{"out of range by its offset", open("@d", 1, rg{Offset: 1, Length: size}), transfer.RegionRange},
		{"behind the end", open("@d", 1, rg{Offset: size, Length: 1}), transfer.RegionRange},
		{"offsets that overflow", open("@d", 1, rg{Offset: math.MaxInt64, Length: math.MaxInt64}), transfer.InvalidSpec},
		{"far beyond", open("@d", 1, rg{Offset: math.MaxInt64 - 1, Length: 1}), transfer.RegionRange},
		{"negative", open("@d", 1, rg{Offset: -1, Length: 1}), transfer.InvalidSpec},
		{"overlapping", open("@d", 1, rg{Length: 5}, rg{Offset: 4, Length: 5}), transfer.InvalidSpec},
		{"descending", open("@d", 1, rg{Offset: 4, Length: 5}, rg{Length: 1}), transfer.InvalidSpec},
		{"empty range", open("@d", 1, rg{}), transfer.InvalidSpec},
		{"no such region", open("@e", 1, rg{Length: 1}), transfer.RegionNotFound},
		{"no id", open("@", 1, rg{Length: 1}), transfer.InvalidSpec},
		{"a path", open("/d", 1, rg{Length: 1}), transfer.InvalidSpec},
		{"of somebody else", whole(func(m *transfer.Open) { m.Principal = "uid:7" }), transfer.RegionNotFound},
		{"for readers", whole(func(m *transfer.Open) { m.Principal = bob }), transfer.PermissionDenied},
		{"somebody unknown", whole(func(m *transfer.Open) { m.Principal = "-" }), transfer.RegionNotFound},
		{"nobody", whole(func(m *transfer.Open) { m.Principal = "" }), transfer.InvalidSpec},
		{"a copy", whole(func(m *transfer.Open) { m.Mode = transfer.ModeCopy }), transfer.InvalidSpec},
		{"into", whole(func(m *transfer.Open) { m.DestMode = transfer.DestInto }), transfer.InvalidSpec},
		{"another node's transfer", whole(func(m *transfer.Open) { m.Owner = "n3" }), transfer.PermissionDenied},
		{"no uid", whole(func(m *transfer.Open) { m.UID = transfer.UID{} }), transfer.InvalidSpec},
		{"no epoch", whole(func(m *transfer.Open) { m.Epoch = 0 }), transfer.InvalidSpec},
		{"odd chunk size", whole(func(m *transfer.Open) { m.Options.ChunkSize = 3 * mib }), transfer.InvalidSpec},
		{"many streams", whole(func(m *transfer.Open) { m.Options.Streams = 33 }), transfer.InvalidSpec},
		{"from the device", whole(func(m *transfer.Open) { m.Options.Verify = transfer.VerifyMedia }), transfer.Unsupported},
		{"unknown digest", whole(func(m *transfer.Open) { m.Options.Digest = "md5" }), transfer.InvalidSpec},
		{"short digest", whole(func(m *transfer.Open) { m.Options.Digest, m.Options.Expected = transfer.DigestXXH3, []byte{1} }), transfer.InvalidSpec},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.create(r.dst, "d", make([]byte, size))
			for _, validate := range []bool{true, false} {
				m := *tt.m
				m.ValidateOnly = validate
				h := r.hand(memory.Peer{Node: "n1"})
				h.say(&m)
				if got := hear[*transfer.Refused](h).Err; got.Reason != tt.want {
					t.Errorf("validate %v: %v, want %s", validate, got, tt.want)
				}
				<-h.served
			}
			if info := r.info(r.dst, "d"); info.OpenWrites != 0 || len(info.Torn) != 0 {
				t.Errorf("left behind: %+v", info)
			}
		})
	}
}

// Whoever writes overlapping ranges is told who does already; others are let in.
func TestBusy(t *testing.T) {
	r := newRig(t)
	r.create(r.dst, "d", make([]byte, half))
	first := r.hand(memory.Peer{Node: "n1"})
	first.begin("@d", 1, mib)
	other := func(id byte, from int64) *hand {
		h := r.hand(memory.Peer{Node: "n1"})
		m := open("@d", 1, transport.Range{Offset: from, Length: 10})
		m.UID[0], m.ID = id, "other"
		h.say(m)
		return h
	}
	refused := hear[*transfer.Refused](other(2, mib-1)).Err
	if e, ok := errors.AsType[*transfer.Error](refused); !ok || e.Reason != transfer.RegionBusy || !strings.Contains(e.Error(), "nodes/n1/transfers/t") {
		t.Errorf("overlapping: %v", refused)
	}
	hear[*transfer.Opened](other(3, mib))
	if n := len(r.target.Incoming()); n != 2 {
		t.Errorf("%d come in", n)
	}
	first.say(&transfer.Abort{End: transfer.EndCancel})
	hear[*transfer.Finished](first)
	hear[*transfer.Opened](other(4, mib-10))
}

// A node takes no more edges than it may, and none of new transfers while it drains.
func TestPlacesAndDrain(t *testing.T) {
	r := newRig(t)
	r.create(r.dst, "d", make([]byte, half))
	try := func(id byte, epoch uint64) transfer.ToOwner {
		h := r.hand(memory.Peer{Node: "n1"})
		m := open("@d", epoch, transport.Range{Offset: int64(id) * 16, Length: 16})
		m.UID[0] = id
		h.say(m)
		got, err := h.link.Recv(r.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for i := range byte(4) {
		if _, ok := try(i+1, 1).(*transfer.Opened); !ok {
			t.Fatalf("edge %d was not opened", i)
		}
	}
	if m, ok := try(9, 1).(*transfer.Refused); !ok || m.Err.Reason != transfer.NodeBusy {
		t.Errorf("one more: %+v", m)
	}
	r.target.SetMaxIncoming(9)
	r.draining = true
	if m, ok := try(9, 1).(*transfer.Refused); !ok || m.Err.Reason != transfer.NodeDraining {
		t.Errorf("while it drains: %+v", m)
	}
	if _, ok := try(1, 2).(*transfer.Opened); !ok {
		t.Error("the next attempt of one that is under way was refused")
	}
	if m, ok := try(1, 2).(*transfer.Refused); !ok || m.Err.Reason != transfer.StaleEpoch {
		t.Errorf("the same epoch: %+v", m)
	}
	if m, ok := try(1, 1).(*transfer.Refused); !ok || m.Err.Reason != transfer.StaleEpoch {
		t.Errorf("an older epoch: %+v", m)
	}
}

// An owner that does not keep to the protocol loses its edge.
func TestProtocol(t *testing.T) {
	file := &transfer.Entries{Entries: []transfer.Entry{{Parent: transfer.NoParent, Kind: transfer.KindFile, Name: "f", Size: half}}}
	for name, list := range map[string][]transfer.ToTarget{
		"a file":                {file},
		"another size":          {entry(half - 1)},
		"two entries":           {entry(half), entry(half)},
		"entries at the end":    {&transfer.ScanDone{}, entry(half)},
		"done of another entry": {entry(half), &transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 1}}}},
		"restart of nothing":    {&transfer.EntryRestart{Entry: entry(half).Entries[0]}},
		"finish too early":      {entry(half), &transfer.ScanDone{Entries: 1}, &transfer.Finish{}},
		"finish without a scan": {&transfer.Finish{}},
		"opened twice":          {open("@d", 2)},
		"digests":               {&transfer.EntryDigests{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.create(r.dst, "d", make([]byte, half))
			h := r.hand(memory.Peer{Node: "n1"})
			h.say(append([]transfer.ToTarget{open("@d", 1, transport.Range{Length: half})}, list...)...)
			hear[*transfer.Opened](h)
			for {
				m, err := h.link.Recv(r.ctx)
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := m.(*transfer.Answers); ok {
					continue
				}
				if refused, ok := m.(*transfer.Refused); !ok || refused.Err.Reason != transfer.ProtocolError {
					t.Errorf("%+v", m)
				}
				break
			}
			<-h.served
			if info := r.info(r.dst, "d"); info.OpenWrites != 0 || len(info.Torn) != 0 {
				t.Errorf("left behind: %+v", info)
			}
		})
	}
}

// Who asks what would be done is told by both sides, and nothing changes.
func TestValidate(t *testing.T) {
	r := newRig(t)
	r.create(r.src, "a", pattern(mib, 1))
	r.create(r.dst, "d", make([]byte, mib))
	check := func(s transfer.Spec) (transfer.Plan, error) {
		owner, target := transfer.Pipe()
		served := make(chan error, 1)
		r.wg.Go(func() { served <- r.serving(nil).Serve(r.ctx, memory.Peer{Node: "n1"}, target) })
		plan, err := sender.Validate(r.ctx, r.config(), r.job(s), owner)
		owner.Close()
		<-served
		return plan, err
	}
	plan, err := check(spec("@d", transfer.Piece{Path: "@a", Length: -1}))
	if err != nil || plan.Transport != transport.TCP || plan.Resolved != "@d" {
		t.Errorf("%+v, %v", plan, err)
	}
	for _, tt := range []struct {
		name string
		p    transfer.Piece
		want transfer.Reason
	}{
		{"one byte too many", transfer.Piece{Path: "@a", Length: -1, DestOffset: 1}, transfer.RegionRange},
		{"no source", transfer.Piece{Path: "@b", Length: -1}, transfer.RegionNotFound},
		{"behind the source", transfer.Piece{Path: "@a", Offset: mib + 1, Length: -1}, transfer.RegionRange},
		{"a larger file", transfer.Piece{Path: r.file("big", make([]byte, mib+1)), Length: -1}, transfer.RegionRange},
	} {
		if _, err := check(spec("@d", tt.p)); transfer.ReasonOf(err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	if info := r.info(r.dst, "d"); info.OpenWrites != 0 || len(info.Torn) != 0 {
		t.Errorf("left behind: %+v", info)
	}
}

// An owner that opens an edge only to end it ends the one that still runs, and needs
// no region for it.
func TestRelease(t *testing.T) {
	r := newRig(t)
	r.create(r.dst, "d", make([]byte, half))
	release := func(dest string, epoch uint64) error {
		owner, target := transfer.Pipe()
		defer owner.Close()
		r.wg.Go(func() { _ = r.serving(nil).Serve(r.ctx, memory.Peer{Node: "n1"}, target) })
		s := spec(dest, transfer.Piece{Path: "@gone", Length: -1})
		return sender.Release(r.ctx, sender.Job{ID: "t", UID: transfer.UID{1}, StateUUID: "s", Epoch: epoch, Spec: s}, owner, transfer.EndCancel)
	}
	h := r.hand(memory.Peer{Node: "n1"})
	partly(t, r, h, 1)
	if err := release("@d", 2); err != nil {
		t.Fatal(err)
	}
	<-h.served
	if info := r.info(r.dst, "d"); info.OpenWrites != 0 || len(info.Torn) != 1 {
		t.Errorf("%+v", info)
	}
	if err := release("@never", 3); err != nil {
		t.Error(err)
	}
	if err := release("@d", 3); transfer.ReasonOf(err) != transfer.StaleEpoch {
		t.Errorf("an epoch for the second time: %v", err)
	}
}
