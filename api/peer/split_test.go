package peer

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/api/server"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/manifest"
	"github.com/xferd/xferd/transport"
)

// What a node sends, the server of another must take, and the other way round.
func TestLimitsOfServer(t *testing.T) {
	if maxSend != server.MaxRequest || maxRecv != server.MaxMessage {
		t.Errorf("limits %d and %d, those of the server are %d and %d", maxSend, maxRecv, server.MaxRequest, server.MaxMessage)
	}
}

// collect takes m over the wire, checks the size of each message against what it
// may have, and returns the sizes.
func collect(t *testing.T, m any, most int) (got []any, sizes []int) {
	t.Helper()
	note := func(n int) {
		sizes = append(sizes, n)
		if n > most || n > maxSend {
			t.Errorf("a message of %d bytes, more than %d", n, most)
		}
	}
	var err error
	switch m := m.(type) {
	case transfer.ToTarget:
		var all []transfer.ToTarget
		all, err = wireToTarget(m, func(_ *peerv1.ToTarget, n int) { note(n) })
		for _, a := range all {
			got = append(got, a)
		}
	case transfer.ToOwner:
		var all []transfer.ToOwner
		all, err = wireToOwner(m, func(_ *peerv1.ToOwner, n int) { note(n) })
		for _, a := range all {
			got = append(got, a)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return got, sizes
}

// entryOf returns an entry that takes so many bytes, at most 64 KiB.
func entryOf(t *testing.T, number uint64, size int) transfer.Entry {
	t.Helper()
	e := transfer.Entry{Number: number, Name: "f", Kind: transfer.KindFile, Meta: transfer.Meta{Xattrs: []transfer.Xattr{{Name: "user.a"}}}}
	for n := size - 100; n <= size; n++ {
		e.Meta.Xattrs[0].Value = make([]byte, n)
		if len(manifest.AppendEntry(nil, &e)) == size {
			return e
		}
	}
	t.Fatalf("no entry has %d bytes", size)
	return e
}

func TestSplitEntries(t *testing.T) {
	const k64 = 1 << 16
	full := func(n int) (list []transfer.Entry) {
		for i := range n {
			list = append(list, entryOf(t, uint64(i+1), k64))
		}
		return list
	}
	short := func(n int) (list []transfer.Entry) {
		for i := range n {
			list = append(list, transfer.Entry{Number: uint64(i + 1), Name: "f", Kind: transfer.KindFile})
		}
		return list
	}
	tests := []struct {
		name  string
		list  []transfer.Entry
		parts int
	}{
		{"none", nil, 1},
		{"exactly full", full(packBytes / k64), 1},
		{"a byte more", append(full(packBytes/k64-1), entryOf(t, 64, k64+1)), 2},
		{"one after", full(packBytes/k64 + 1), 2},
		{"a batch with all attributes", full(512), 8},
		{"exactly the count", short(packCount), 1},
		{"one more than the count", short(packCount + 1), 2},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			got, sizes := collect(t, &transfer.Entries{Entries: c.list}, packBytes+64)
			if len(sizes) != c.parts {
				t.Errorf("%d messages, want %d", len(sizes), c.parts)
			}
			var all []transfer.Entry
			for _, m := range got {
				all = append(all, m.(*transfer.Entries).Entries...)
			}
			if !slices.EqualFunc(c.list, all, func(a, b transfer.Entry) bool { return reflect.DeepEqual(a, b) }) {
				t.Error("the entries are not the same")
			}
		})
	}
}

func TestSplitResults(t *testing.T) {
	long := &transfer.Error{Reason: transfer.DestNoSpace, Path: strings.Repeat("\xff", manifest.MaxPath), Err: errors.New(strings.Repeat("x", maxText))}
	var list []transfer.Result
	for i := range 1024 {
		list = append(list, transfer.Result{Entry: uint64(i), Path: long.Path, Kind: transfer.KindFile, Outcome: transfer.OutcomeFailed, Err: long})
	}
	got, sizes := collect(t, &transfer.Results{Results: list}, packBytes+64)
	if len(sizes) < 32 || len(sizes) > 40 {
		t.Errorf("%d messages", len(sizes))
	}
	var all []transfer.Result
	for _, m := range got {
		all = append(all, m.(*transfer.Results).Results...)
	}
	if !slices.EqualFunc(list, all, equalResults) {
		t.Error("the results are not the same")
	}
}

func digests(n int) []transport.Digest {
	all := make([]transport.Digest, n)
	for i := range all {
		all[i] = transport.Digest{0: byte(i), 1: byte(i >> 8), 2: byte(i >> 16), 15: 1}
	}
	return all
}

func TestSplitDigests(t *testing.T) {
	// 4 TiB in extents of 4 MiB has 1 Mi digests, which are 16 MiB: with anything
	// around them they are more than a server takes.
	for n, parts := range map[int]int{
		0: 1, 1: 1, partDigests - 1: 1, partDigests: 1, partDigests + 1: 2,
		2 * partDigests: 2, 1<<20 + 1: 5,
	} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			m := &transfer.EntryDigests{Entry: 1<<64 - 2, Digests: digests(n)}
			got, sizes := collect(t, m, 16*partDigests+64)
			if len(sizes) != parts || len(got) != 1 {
				t.Fatalf("%d messages became %d, want %d and 1", len(sizes), len(got), parts)
			}
			if d := got[0].(*transfer.EntryDigests); d.Entry != m.Entry || !slices.Equal(d.Digests, m.Digests) {
				t.Error("the digests are not the same")
			}
		})
	}
	err := sendToTarget(&transfer.EntryDigests{Digests: make([]transport.Digest, maxDigests+1)}, func(*peerv1.ToTarget) error {
		t.Error("a part of what cannot be sent")
		return nil
	})
	if transfer.ReasonOf(err) != transfer.Unsupported || transfer.ReasonOf(err).Transient() {
		t.Errorf("too many digests: %v", err)
	}
}

func TestJoinDigests(t *testing.T) {
	tests := []struct {
		name string
		list []*peerv1.ToTarget
		want string // of the error; "" is none
	}{
		{"at the bound", []*peerv1.ToTarget{digestsMessage(1, 32, true), digestsMessage(1, 32, false)}, ""},
		{"empty last part", []*peerv1.ToTarget{digestsMessage(1, 32, true), digestsMessage(1, 0, false)}, ""},
		{"two after each other", []*peerv1.ToTarget{digestsMessage(1, 32, true), digestsMessage(1, 32, false), digestsMessage(2, 64, false)}, ""},
		{"beyond the bound", []*peerv1.ToTarget{digestsMessage(1, 32, true), digestsMessage(1, 48, false)}, "more than 4 digests of entry 1"},
		{"of another entry", []*peerv1.ToTarget{digestsMessage(1, 16, true), digestsMessage(2, 16, false)}, errPart.Error()},
		{"another message", []*peerv1.ToTarget{digestsMessage(1, 16, true), abortMessage(1)}, errPart.Error()},
		{"ranges at the bound", []*peerv1.ToTarget{openMessage(3, true), openMessage(1, false)}, ""},
		{"ranges beyond the bound", []*peerv1.ToTarget{openMessage(3, true), openMessage(2, false)}, "more than 4 ranges"},
		{"ranges beyond the bound, and more", []*peerv1.ToTarget{openMessage(3, true), openMessage(2, true)}, "more than 4 ranges"},
		{"no ranges, and more", []*peerv1.ToTarget{openMessage(0, true)}, "an empty part"},
		{"ranges that do not go on", []*peerv1.ToTarget{openMessage(1, true), abortMessage(1)}, errPart.Error()},
		{"ranges among digests", []*peerv1.ToTarget{digestsMessage(1, 16, true), openMessage(1, true)}, errPart.Error()},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			j := targetJoin{digests: 4, ranges: 4}
			var err error
			for _, p := range c.list {
				if _, err = j.add(p); err != nil {
					break
				}
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func ranges(n int) []transport.Range {
	all := make([]transport.Range, n)
	for i := range all {
		all[i] = transport.Range{Offset: 1<<40 + int64(i)<<23, Length: 4 << 20}
	}
	return all
}

// cmp takes minutes for lists of this length.

func equalAnswers(a, b transfer.Answer) bool {
	return a.Entry == b.Entry && a.Want == b.Want && a.Change == b.Change && slices.Equal(a.Ranges, b.Ranges)
}

func equalResults(a, b transfer.Result) bool {
	text := a.Err.Reason == b.Err.Reason && a.Err.Path == b.Err.Path && a.Err.Err.Error() == b.Err.Err.Error()
	a.Err, b.Err = nil, nil
	return text && a == b
}

func TestSplitAnswers(t *testing.T) {
	answer := func(entry uint64, n int) transfer.Answer {
		return transfer.Answer{Entry: entry, Want: transfer.WantRanges, Change: transfer.ChangeSize, Ranges: ranges(n)}
	}
	many := make([]transfer.Answer, partRanges+1)
	for i := range many {
		many[i] = transfer.Answer{Entry: uint64(i), Want: transfer.WantAll}
	}
	tests := []struct {
		name  string
		list  []transfer.Answer
		parts int
	}{
		{"none", nil, 1},
		{"fits", []transfer.Answer{answer(1, partRanges-1)}, 1},
		{"one more", []transfer.Answer{answer(1, partRanges)}, 2},
		{"in the middle", []transfer.Answer{answer(1, 3), answer(2, 3*partRanges), answer(3, 0), answer(4, 1)}, 6},
		{"first and last", []transfer.Answer{answer(1, partRanges), answer(2, 1), answer(3, partRanges)}, 5},
		{"together too many", []transfer.Answer{answer(1, partRanges/2), answer(2, partRanges/2)}, 2},
		{"many short ones", many, 2},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			got, sizes := collect(t, &transfer.Answers{Answers: c.list}, packBytes)
			if len(sizes) != c.parts {
				t.Errorf("%d messages, want %d", len(sizes), c.parts)
			}
			var all []transfer.Answer
			for _, m := range got {
				all = append(all, m.(*transfer.Answers).Answers...)
			}
			if !slices.EqualFunc(c.list, all, equalAnswers) {
				t.Error("the answers are not the same")
			}
		})
	}
	err := sendToOwner(&transfer.Answers{Answers: []transfer.Answer{answer(1, maxRanges+1)}}, func(*peerv1.ToOwner) error {
		t.Error("a part of what cannot be sent")
		return nil
	})
	if transfer.ReasonOf(err) != transfer.Unsupported {
		t.Errorf("too many ranges: %v", err)
	}
}

func TestJoinAnswers(t *testing.T) {
	part := func(entry uint64, n int, more bool) *peerv1.ToOwner {
		return encodeAnswers([]transfer.Answer{{Entry: entry, Want: transfer.WantRanges, Ranges: ranges(n)}}, more)
	}
	tests := []struct {
		name string
		list []*peerv1.ToOwner
		want string
	}{
		{"at the bound", []*peerv1.ToOwner{part(1, 2, true), part(1, 2, false)}, ""},
		{"beyond the bound", []*peerv1.ToOwner{part(1, 2, true), part(1, 3, false)}, "more than 4 ranges of entry 1"},
		{"of another entry", []*peerv1.ToOwner{part(1, 2, true), part(2, 1, false)}, errPart.Error()},
		{"with others", []*peerv1.ToOwner{part(1, 2, true), answersMessage(&peerv1.Answer{Entry: 1, Want: 1}, &peerv1.Answer{Entry: 2, Want: 1})}, errPart.Error()},
		{"another message", []*peerv1.ToOwner{part(1, 2, true), encodeToOwner(&transfer.Pong{})}, errPart.Error()},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			j := answerJoin{limit: 4}
			var err error
			for _, p := range c.list {
				if _, err = j.add(p); err != nil {
					break
				}
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// A transfer with as many places in a region as there may be is opened by messages
// that are all far below what one may have.
func TestManyRangesAreSplit(t *testing.T) {
	m := &transfer.Open{Dest: "@r", Ranges: make([]transport.Range, 3*partRanges+1)}
	for i := range m.Ranges {
		m.Ranges[i] = transport.Range{Offset: 1<<40 + int64(i)<<23, Length: 4 << 20}
	}
	messages := 0
	got, err := wireToTarget(m, func(_ *peerv1.ToTarget, n int) {
		messages++
		if n > packBytes {
			t.Errorf("a message of %d bytes", n)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if messages != 4 || len(got) != 1 || !slices.Equal(got[0].(*transfer.Open).Ranges, m.Ranges) {
		t.Errorf("%d messages made %d of them", messages, len(got))
	}
	m.Ranges = make([]transport.Range, transfer.MaxPlaces+1)
	if err := sendToTarget(m, func(*peerv1.ToTarget) error { t.Error("it was sent"); return nil }); transfer.ReasonOf(err) != transfer.Unsupported {
		t.Errorf("more than may be: %v", err)
	}
}
