package sender

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

func TestWantedRanges(t *testing.T) {
	r := newRig(t, map[string]int{"f": 5*mib + 1}, func(r *rig) {
		r.target.answer = func(en *transfer.Entry) *transfer.Answer {
			return &transfer.Answer{Entry: en.Number, Want: transfer.WantRanges, Ranges: []transport.Range{{Offset: mib, Length: 2 * mib}, {Offset: 5 * mib, Length: 1}}}
		}
	})
	s := r.run()
	want := make([]byte, 5*mib+1)
	all := content("f", len(want))
	copy(want[mib:], all[mib:3*mib])
	want[5*mib] = all[5*mib]
	r.target.wantContent("f", want)
	if d := r.target.done[r.target.find("f").Number]; !d.IsZero() {
		t.Error("a digest of a file that was not read whole")
	}
	if s.Progress.BytesDone != 2*mib+1 || s.Progress.BytesSame != 3*mib {
		t.Errorf("progress %+v", s.Progress)
	}
}

// What a target has of a large file counts from the beginning: a later run of the
// same command does not start at 0 %.
func TestProgressStartsWithWhatIsThere(t *testing.T) {
	var first Progress
	r := newRig(t, map[string]int{"f": 8 * mib}, func(r *rig) {
		r.target.answer = func(en *transfer.Entry) *transfer.Answer {
			return &transfer.Answer{Entry: en.Number, Want: transfer.WantRanges, Ranges: []transport.Range{{Offset: 6 * mib, Length: 2 * mib}}}
		}
	})
	onExtent(r, 1, func() {
		r.edge.mu.Lock()
		first = r.edge.progressLocked()
		r.edge.mu.Unlock()
	})
	s := r.run()
	if first.BytesSame != 6*mib || first.BytesDone > 2*mib {
		t.Errorf("at the first extent %+v", first)
	}
	if s.Progress.BytesSame != 6*mib || s.Progress.BytesDone != 2*mib {
		t.Errorf("in the end %+v", s.Progress)
	}
}

func TestNothingWantedOfAPartial(t *testing.T) {
	r := newRig(t, map[string]int{"f": 2 * mib, "e": 0}, func(r *rig) {
		r.target.answer = func(en *transfer.Entry) *transfer.Answer {
			return &transfer.Answer{Entry: en.Number, Want: transfer.WantRanges}
		}
	})
	r.run()
	r.outcome("f", transfer.OutcomePublished, "")
	r.outcome("e", transfer.OutcomePublished, "")
	if len(r.target.sent) > 0 || len(r.target.done) != 2 {
		t.Errorf("sent %v, done %v", r.target.sent, r.target.done)
	}
	if r.target.done[r.target.find("e").Number] != transfer.FileDigest(mib, 0, nil) {
		t.Error("an empty file has another digest")
	}
}

func TestDigestsFirst(t *testing.T) {
	const size = 4*mib + 3
	files := map[string]int{"f": size, "small": 77, "hole": 0}
	all := content("f", size)
	asked := func(r *rig) {
		r.target.answer = func(en *transfer.Entry) *transfer.Answer {
			return &transfer.Answer{Entry: en.Number, Want: transfer.WantDigests}
		}
		r.target.onDigests = func(m *transfer.EntryDigests) *transfer.Answer {
			a := &transfer.Answer{Entry: m.Entry, Want: transfer.WantAll}
			if r.target.manifest[m.Entry].Name != "f" {
				return a
			}
			for i, d := range m.Digests {
				x := transfer.ExtentRange(int64(i), size, mib)
				if d != digestOf(all[x.Offset:x.End()]) {
					t.Errorf("digest %d is wrong", i)
				}
			}
			a.Want, a.Ranges = transfer.WantRanges, []transport.Range{{Offset: 4 * mib, Length: 3}}
			return a
		}
	}
	r := newRig(t, files, asked)
	if err := os.Truncate(r.path("hole"), 2*mib); err != nil {
		t.Fatal(err)
	}
	r.run()
	if n := len(r.target.sent); n != 4 { // one of f, small, two of hole
		t.Errorf("%d extents were sent", n)
	}
	f := r.target.find("f")
	if d := r.target.done[f.Number]; d.IsZero() {
		t.Error("the digests that were sent make no digest of the file")
	}
	r.target.wantContent("hole", make([]byte, 2*mib))
}

func TestDigestsOfAChangedSource(t *testing.T) {
	changed := content("x", 3*mib)
	first := true
	r := newRig(t, map[string]int{"f": 2 * mib}, nil)
	r.target.answer = func(en *transfer.Entry) *transfer.Answer {
		if first {
			first = false
			r.write("f", changed)
			return &transfer.Answer{Entry: en.Number, Want: transfer.WantDigests}
		}
		return &transfer.Answer{Entry: en.Number, Want: transfer.WantAll}
	}
	r.run()
	r.target.wantContent("f", changed)
}

func TestHolesAreNotSent(t *testing.T) {
	r := newRig(t, map[string]int{"big": 0, "small": 0}, nil)
	put := func(name string, size int64, at ...int64) []byte {
		want := make([]byte, size)
		f, err := os.OpenFile(r.path(name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		for _, off := range at {
			b := content(name, 4096)
			copy(want[off:], b)
			if _, err := f.WriteAt(b, off); err != nil {
				t.Fatal(err)
			}
		}
		return want
	}
	big := put("big", 40*mib, 0, 8192, 20*mib)
	small := put("small", 200<<10, 64<<10)
	s := r.run()
	r.target.wantContent("big", big)
	r.target.wantContent("small", small)
	if r.target.find("big").Flags&transfer.EntrySparse == 0 {
		needs.Missing(t, "no holes on this file system")
	}
	if got := s.Progress.Stats.Bytes; got > 256<<10 {
		t.Errorf("%d bytes crossed the wire", got)
	}
	if s.Progress.BytesDone != s.Progress.Bytes {
		t.Errorf("progress %+v", s.Progress)
	}
}

func TestAssembly(t *testing.T) {
	r := newRig(t, map[string]int{"a": 2 * mib, "b": 700}, nil)
	piece := func(name string, off, n, dest int64) transfer.Piece {
		return transfer.Piece{Path: r.path(name), Offset: off, Length: n, DestOffset: dest}
	}
	a, b := content("a", 2*mib), content("b", 700)
	want := make([]byte, 4*mib)
	spec := &r.edge.job.Spec
	spec.Mode, spec.Sources = transfer.ModeAssemble, nil
	add := func(name string, from []byte, off, n, dest int64) {
		spec.Pieces = append(spec.Pieces, piece(name, off, n, dest))
		copy(want[dest:], from[off:off+n])
	}
	add("b", b, 100, 600, 4*mib-600)
	add("a", a, 5, 2*mib-5, 10)
	for i := range int64(400) { // more than an extent may have segments
		add("b", b, i, 1, 3*mib+2*i)
	}
	s := r.run()
	r.target.wantContent("", want)
	if s.Progress.Bytes != 4*mib {
		t.Errorf("progress %+v", s.Progress)
	}
}

func TestAssemblyOfAChangedPiece(t *testing.T) {
	r := newRig(t, map[string]int{"a": 2 * mib, "b": 2 * mib}, nil)
	spec := &r.edge.job.Spec
	spec.Mode, spec.Sources = transfer.ModeAssemble, nil
	spec.Pieces = []transfer.Piece{{Path: r.path("a"), Length: -1}, {Path: r.path("b"), Length: -1, DestOffset: 2 * mib}}
	changed := content("c", 2*mib)
	onExtent(r, 2, func() { r.write("a", changed) })
	r.run()
	r.target.wantContent("", slices.Concat(changed, content("b", 2*mib)))
	r.outcome("", transfer.OutcomePublished, "")
}

func TestLocalTransportGetsFiles(t *testing.T) {
	files := map[string]int{"big": 3 * mib}
	for i := range 200 {
		files[fmt.Sprintf("f%d", i)] = 100 + i
	}
	r := newRig(t, files, func(r *rig) {
		r.job.TargetDistinct = false
		r.config.Dialers[transport.Local] = r.target
		r.target.opened.Transports = []string{transport.Local, transport.TCP}
		r.target.verdict = func(x *transport.Extent, _ int) transport.Verdict {
			if x.Final || x.Bodies[0].File == nil {
				t.Error("an extent came in memory")
			}
			return transport.Verdict{}
		}
	})
	r.run()
	for name, size := range files {
		r.target.wantContent(name, content(name, size))
	}
	if got := r.obs.paths; len(got) != 1 || got[0] != "local SAME_NODE" {
		t.Errorf("path %q", got)
	}
}

func TestMemoryShortage(t *testing.T) {
	files := map[string]int{}
	for i := range 300 {
		files[fmt.Sprintf("f%d", i)] = 1000 + i
	}
	var taken []*bufpool.Buffer
	r := newRig(t, files, func(r *rig) {
		for {
			b, ok := r.pool.TryGet(mib)
			if !ok {
				break
			}
			taken = append(taken, b)
		}
	})
	r.run()
	for _, b := range taken {
		b.Release()
	}
	for name, size := range files {
		r.target.wantContent(name, content(name, size))
	}
	for key, n := range r.target.sent {
		if n != 1 {
			t.Errorf("extent %v was sent %d times", key, n)
		}
	}
}

func TestResultsHavePathsAndLosses(t *testing.T) {
	r := newRig(t, map[string]int{"d/f": 10}, nil)
	if err := unix.Mkfifo(r.path("d/pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.target.finished.Err = nil
	late := &transfer.Error{Reason: transfer.DestPermission, Path: "/dst/d"}
	r.obs.onResult = func(x transfer.Result) {
		if x.Path == "d" && x.Outcome == transfer.OutcomePublished {
			go r.target.send(&transfer.Results{Results: []transfer.Result{{Entry: x.Entry, Outcome: transfer.OutcomeFailed, Err: late}}})
		}
	}
	s := r.run()
	r.outcome(filepath.Join("d", "f"), transfer.OutcomePublished, "")
	// The name goes to the target, so that a sync spares what it has there; that
	// it is skipped is the target's answer.
	r.outcome("d/pipe", transfer.OutcomePublished, "")
	if s.Progress.SpecialSkipped != 1 {
		t.Errorf("%d special files were skipped", s.Progress.SpecialSkipped)
	}
}

func TestDescriptorsAreBounded(t *testing.T) {
	before, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]int{}
	for i := range 400 {
		files[fmt.Sprintf("d%d/f", i)] = packLimit + 1
	}
	most := 0
	r := newRig(t, files, func(r *rig) {
		r.target.verdict = func(x *transport.Extent, _ int) transport.Verdict {
			now, _ := os.ReadDir("/proc/self/fd")
			r.target.mu.Lock()
			most = max(most, len(now)-len(before))
			r.target.mu.Unlock()
			return transport.Verdict{}
		}
	})
	r.run()
	if limit := 256 + maxOpenFiles + 64; most > limit {
		t.Errorf("%d descriptors were open, want at most %d", most, limit)
	}
	after, _ := os.ReadDir("/proc/self/fd")
	if len(after) > len(before)+8 {
		t.Errorf("%d descriptors before, %d after", len(before), len(after))
	}
}
