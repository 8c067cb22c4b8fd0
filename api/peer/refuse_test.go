package peer

import (
	"errors"
	"strings"
	"testing"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/manifest"
)

func entriesMessage(packed []byte, count uint32) *peerv1.ToTarget {
	return &peerv1.ToTarget{Message: &peerv1.ToTarget_Entries{Entries: &peerv1.Entries{Packed: packed, Count: count}}}
}

func digestsMessage(entry uint64, n int, more bool) *peerv1.ToTarget {
	return &peerv1.ToTarget{Message: &peerv1.ToTarget_EntryDigests{EntryDigests: &peerv1.EntryDigests{Entry: entry, Digests: make([]byte, n), More: more}}}
}

func abortMessage(end peerv1.End) *peerv1.ToTarget {
	return &peerv1.ToTarget{Message: &peerv1.ToTarget_Abort{Abort: &peerv1.Abort{End: end}}}
}

func TestRefusalsOfTarget(t *testing.T) {
	one := manifest.AppendEntry(nil, &sampleFile)
	reserved := sampleFile
	reserved.Name = ".xferd.x"
	restart := func(b []byte) *peerv1.ToTarget {
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_EntryRestart{EntryRestart: &peerv1.EntryRestart{Packed: b}}}
	}
	open := func(n int) *peerv1.ToTarget {
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_Open{Open: &peerv1.Open{Uid: make([]byte, n)}}}
	}
	done := func(n int) *peerv1.ToTarget {
		d := []*peerv1.EntryDone{{Entry: 1, Digest: make([]byte, n)}}
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_EntriesDone{EntriesDone: &peerv1.EntriesDone{Done: d}}}
	}
	tests := []struct {
		name, want string
		m          *peerv1.ToTarget
	}{
		{"no message", "unknown message", &peerv1.ToTarget{}},
		{"empty open", "uid of 0 bytes", open(0)},
		{"short uid", "uid of 15 bytes", open(15)},
		{"long uid", "uid of 17 bytes", open(17)},
		{"more entries than bytes", "malformed", entriesMessage(one, 2)},
		{"fewer entries than bytes", "left over", entriesMessage(append(one, one...), 1)},
		{"no entries but bytes", "left over", entriesMessage(one, 0)},
		{"a count that lies", "in 1 bytes", entriesMessage([]byte{0}, 1<<32-1)},
		{"too many entries", "16385 in", entriesMessage(make([]byte, 1<<20), packCount+1)},
		{"cut entry", "malformed", entriesMessage(one[:len(one)-1], 1)},
		{"short digest", "digest of 15 bytes", done(15)},
		{"long digest", "digest of 17 bytes", done(17)},
		{"digests cut", "multiple of 16", digestsMessage(1, 33, false)},
		{"empty part", "empty part", digestsMessage(1, 0, true)},
		{"restart left over", "left over", restart(append(one, 0))},
		{"restart cut", "malformed", restart(one[:3])},
		{"restart with a bad name", "reserved", restart(manifest.AppendEntry(nil, &reserved))},
		{"give up without a reason", "without a reason", &peerv1.ToTarget{Message: &peerv1.ToTarget_EntryGiveUp{EntryGiveUp: &peerv1.EntryGiveUp{Entry: 1}}}},
		{"abort of no kind", "unknown kind 0", abortMessage(0)},
		{"abort of a newer kind", "unknown kind 4", abortMessage(4)},
		{"abort below", "unknown kind -1", abortMessage(-1)},
		// Cut to eight bits it would be a pause.
		{"abort far beyond", "unknown kind 257", abortMessage(257)},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			j := targetJoin{digests: maxDigests, ranges: transfer.MaxPlaces}
			m, err := j.add(c.m)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %#v, error %v, want %q", m, err, c.want)
			}
			if m != nil {
				t.Errorf("a message beside the error: %#v", m)
			}
		})
	}
}

func answersMessage(list ...*peerv1.Answer) *peerv1.ToOwner {
	return &peerv1.ToOwner{Message: &peerv1.ToOwner_Answers{Answers: &peerv1.Answers{Answers: list}}}
}

func TestRefusalsOfOwner(t *testing.T) {
	one := manifest.AppendResult(nil, &transfer.Result{Entry: 1, Kind: transfer.KindFile, Outcome: transfer.OutcomeSame})
	results := func(b []byte, n uint32) *peerv1.ToOwner {
		return &peerv1.ToOwner{Message: &peerv1.ToOwner_Results{Results: &peerv1.Results{Packed: b, Count: n}}}
	}
	ready := func(p *peerv1.DataReady) *peerv1.ToOwner {
		return &peerv1.ToOwner{Message: &peerv1.ToOwner_DataReady{DataReady: p}}
	}
	tests := []struct {
		name, want string
		m          *peerv1.ToOwner
	}{
		{"no message", "unknown message", &peerv1.ToOwner{}},
		{"refused without a reason", "without a reason", &peerv1.ToOwner{Message: &peerv1.ToOwner_Refused{Refused: &peerv1.Refused{}}}},
		{"ready with nothing", "no data plane", ready(&peerv1.DataReady{})},
		{"short token", "token of 31 bytes", ready(&peerv1.DataReady{Grant: &peerv1.Grant{Tokens: [][]byte{make([]byte, 31)}}})},
		{"long token", "token of 33 bytes", ready(&peerv1.DataReady{Grant: &peerv1.Grant{Tokens: [][]byte{make([]byte, 32), make([]byte, 33)}}})},
		{"no want", "unknown kind 0", answersMessage(&peerv1.Answer{})},
		{"newer want", "unknown kind 5", answersMessage(&peerv1.Answer{Want: 5})},
		{"want far beyond", "unknown kind 257", answersMessage(&peerv1.Answer{Want: 257})},
		{"part beside another", "with other answers", answersMessage(&peerv1.Answer{Want: 1}, &peerv1.Answer{Want: 2, More: true, Ranges: []*peerv1.Range{{}}})},
		{"empty part", "no ranges", answersMessage(&peerv1.Answer{Want: 2, More: true})},
		{"more results than bytes", "malformed", results(one, 2)},
		{"fewer results than bytes", "left over", results(append(one, one...), 1)},
		{"a count that lies", "in 0 bytes", results(nil, 1<<31)},
		{"impossible result", "impossible", results(manifest.AppendResult(nil, &transfer.Result{Outcome: 99}), 1)},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			j := answerJoin{limit: maxRanges}
			m, err := j.add(c.m)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %#v, error %v, want %q", m, err, c.want)
			}
			if m != nil {
				t.Errorf("a message beside the error: %#v", m)
			}
		})
	}
}

// A peer's error is shown, stored and handed on: it must not be able to break
// any of these.
func TestErrorOfHostilePeer(t *testing.T) {
	long := strings.Repeat("é", 1<<20)
	e := decodeError(&peerv1.Error{Reason: "no\nreason", Side: long, Phase: long, Node: long, Path: []byte(long), Message: long, Hint: long})
	if e.Reason != transfer.Internal {
		t.Errorf("reason %q", e.Reason)
	}
	if n := len(e.Error()); n > 200<<10 {
		t.Errorf("%d bytes of text", n)
	}
	r := transfer.Result{Entry: 1, Kind: transfer.KindFile, Outcome: transfer.OutcomeFailed, Err: e}
	if err := manifest.CheckResult(&transfer.Result{Kind: r.Kind, Outcome: r.Outcome, Err: &transfer.Error{Reason: e.Reason, Path: e.Path}}); err != nil {
		t.Error(err)
	}
	for _, reason := range []string{"", strings.Repeat("A", 65), "lower", "É"} {
		if e := decodeError(&peerv1.Error{Reason: reason}); e.Reason != transfer.Internal {
			t.Errorf("reason %q became %q", reason, e.Reason)
		}
	}
}

// One bad entry is for the receiver to refuse, alone.
func TestBadEntryComesThrough(t *testing.T) {
	bad, good := sampleFile, sampleFile
	bad.Name, good.Number = ".xferd.x", 3
	got, err := wireToTarget(&transfer.Entries{Entries: []transfer.Entry{bad, good}}, func(*peerv1.ToTarget, int) {})
	if err != nil {
		t.Fatal(err)
	}
	list := got[0].(*transfer.Entries).Entries
	if err := manifest.CheckEntry(&list[0]); !errors.Is(err, manifest.ErrReserved) {
		t.Errorf("the bad one: %v", err)
	}
	if err := manifest.CheckEntry(&list[1]); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// openMessage has so many ranges of one byte.
func openMessage(n int, more bool) *peerv1.ToTarget {
	p := &peerv1.Open{Uid: make([]byte, 16), MoreRanges: more}
	for range n {
		p.RangeGap, p.RangeLength = append(p.RangeGap, 1), append(p.RangeLength, 1)
	}
	return &peerv1.ToTarget{Message: &peerv1.ToTarget_Open{Open: p}}
}
