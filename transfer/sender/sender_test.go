package sender

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

// rig is an edge from a fresh directory to a fake target.
type rig struct {
	t      testing.TB
	dir    string // exported
	target *fakeTarget
	obs    *recorder
	edge   *Edge
	pool   *bufpool.Pool
	config Config
	job    Job
}

// newRig prepares; change may adjust spec, job and target before the edge is
// made.
func newRig(t testing.TB, files map[string]int, change func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), obs: &recorder{}, pool: bufpool.New(64 * mib)}
	for name, size := range files {
		r.write(name, content(name, size))
	}
	exports, err := fsroot.OpenExports([]fsroot.Export{{Path: r.dir}})
	if err != nil {
		t.Fatal(err)
	}
	target, link := newFakeTarget(t)
	r.target = target
	r.config = Config{
		Node: "n1", Exports: func() *fsroot.Exports { return exports }, Pool: r.pool,
		Dialers: map[string]transport.Dialer{transport.TCP: target},
	}
	r.job = Job{ID: "job", UID: transfer.NewUID(), StateUUID: "s", Epoch: 1, TargetDistinct: true}
	r.job.Spec = transfer.Spec{
		Mode: transfer.ModeCopy, Source: "n1", Target: "n2", Sources: []transfer.Source{{Path: r.dir + "/src"}}, Dest: "/dst",
		DestMode: transfer.DestExact, Preserve: transfer.PreserveDefault, Verify: transfer.VerifyWire, ChunkSize: mib, Streams: 3,
	}
	if change != nil {
		change(r)
	}
	r.edge = New(r.config, r.job, link, r.obs)
	t.Cleanup(func() {
		target.close()
		link.Close()
		exports.Close()
		if n := r.pool.InUse(); n != 0 {
			t.Errorf("%d bytes of the pool are still lent", n)
		}
		r.pool.Close()
	})
	return r
}

func content(name string, size int) []byte {
	seed := [32]byte{}
	copy(seed[:], name)
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, "src", name) }

func (r *rig) write(name string, b []byte) {
	r.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(r.path(name)), 0o755), os.WriteFile(r.path(name), b, 0o644)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) run() Summary {
	r.t.Helper()
	s, err := r.edge.Run(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) fails(want transfer.Reason) *transfer.Error {
	r.t.Helper()
	_, err := r.edge.Run(r.t.Context())
	var e *transfer.Error
	if !errors.As(err, &e) || e.Reason != want {
		r.t.Fatalf("error %v, want %s", err, want)
	}
	return e
}

// outcome checks the result of a path.
func (r *rig) outcome(path string, want transfer.Outcome, reason transfer.Reason) {
	r.t.Helper()
	res, ok := r.obs.results[path]
	if !ok {
		r.t.Errorf("%q has no result", path)
		return
	}
	got := transfer.ReasonNone
	if res.Err != nil {
		got = res.Err.Reason
	}
	if res.Outcome != want || got != reason {
		r.t.Errorf("%q ended with outcome %d, %v; want %d %s", path, res.Outcome, res.Err, want, reason)
	}
}

func TestTree(t *testing.T) {
	files := map[string]int{"empty": 0, "one": 1, "edge": mib, "edge+1": mib + 1, "big": 5*mib + 17, "d/mid": packLimit + 1, "d/e/limit": packLimit}
	for i := range 700 {
		files[fmt.Sprintf("many/f%d", i)] = 10 + i
	}
	r := newRig(t, files, nil)
	if err := os.Symlink("one", r.path("link")); err != nil {
		t.Fatal(err)
	}
	s := r.run()
	for name, size := range files {
		r.target.wantContent(filepath.Base(name), content(name, size))
		r.outcome(name, transfer.OutcomePublished, "")
	}
	for _, name := range []string{"", "d", "d/e", "many", "link"} {
		r.outcome(name, transfer.OutcomePublished, "")
	}
	if len(r.obs.twice) > 0 {
		t.Errorf("two results of %q", r.obs.twice)
	}
	var bytes int64
	for _, n := range files {
		bytes += int64(n)
	}
	p := s.Progress
	if p != r.obs.progress {
		t.Errorf("the last progress is %+v, the summary has %+v", r.obs.progress, p)
	}
	if !p.ScanDone || p.Files != int64(len(files)) || p.Bytes != bytes || p.BytesDone != bytes || p.BytesSame != 0 || p.Entries != int64(len(r.target.manifest)) || p.Stats.Bytes != bytes {
		t.Errorf("progress %+v, want %d files and %d bytes", p, len(files), bytes)
	}
	if s.Failed != 0 || s.ScanErrors != 0 || s.Transport != transport.TCP || s.FirstFailure != nil {
		t.Errorf("summary %+v", s)
	}
	for key, n := range r.target.sent {
		if n != 1 {
			t.Errorf("extent %v was sent %d times", key, n)
		}
	}
	if r.target.finals != 702 {
		t.Errorf("%d small files went as final, want 702", r.target.finals)
	}
	big := r.target.find("big")
	var digests []transport.Digest
	b := content("big", files["big"])
	for i := range transfer.Extents(big.Size, mib) {
		e := transfer.ExtentRange(i, big.Size, mib)
		digests = append(digests, digestOf(b[e.Offset:e.End()]))
	}
	if got, want := r.target.done[big.Number], transfer.FileDigest(mib, big.Size, digests); got != want || want.IsZero() {
		t.Errorf("digest of the file is %x, want %x", got, want)
	}
	if r.target.batches > 100 {
		t.Errorf("%d messages for %d entries", r.target.batches, len(r.target.manifest))
	}
	if got := r.obs.paths; len(got) != 1 || got[0] != "tcp NOT_BUILT" {
		t.Errorf("path %q", got)
	}
}

func TestCreditsBoundTheManifest(t *testing.T) {
	files := map[string]int{}
	for i := range 300 {
		files[fmt.Sprintf("f%d", i)] = 100
	}
	for _, credits := range []uint64{1, 7, 100} {
		r := newRig(t, files, func(r *rig) { r.target.opened.Credits = credits })
		r.run()
		if r.target.most > int(credits) {
			t.Errorf("%d entries without a result, %d were granted", r.target.most, credits)
		}
	}
}

func TestNothingToMoveDialsNothing(t *testing.T) {
	r := newRig(t, map[string]int{"a": 10, "b": 3 * mib}, func(r *rig) {
		r.target.answer = func(*transfer.Entry) *transfer.Answer { return nil }
		r.target.dial = func(int) error { return errors.New("was dialled") }
	})
	s := r.run()
	if s.Progress.BytesSame != 3*mib+10 || s.Progress.BytesDone != 0 {
		t.Errorf("progress %+v", s.Progress)
	}
	r.outcome("a", transfer.OutcomeSame, "")
}

func TestDryRunAsksForNoData(t *testing.T) {
	r := newRig(t, map[string]int{"a": 10}, func(r *rig) {
		r.job.Spec.DryRun = true
		r.target.answer = func(*transfer.Entry) *transfer.Answer { return nil }
	})
	r.run()
	if n := count[*transfer.PrepareData](r.target); n != 0 {
		t.Errorf("%d data planes were asked for", n)
	}
}

func TestVerifyNoneHasNoDigests(t *testing.T) {
	r := newRig(t, map[string]int{"a": 10, "b": 3 * mib}, func(r *rig) { r.job.Spec.Verify = transfer.VerifyNone })
	r.run()
	r.target.wantContent("b", content("b", 3*mib))
	for n, d := range r.target.done {
		if !d.IsZero() {
			t.Errorf("entry %d has a digest", n)
		}
	}
}

func TestOpenIsComplete(t *testing.T) {
	r := newRig(t, map[string]int{"a": 10}, func(r *rig) {
		r.job.Spec.Delete = true
		r.job.Spec.Chmod = "go-w"
		r.target.finished = transfer.Finished{Deleted: 3, Err: &transfer.Error{Reason: transfer.MaxDelete}, Stats: transport.Stats{Bytes: 5}}
	})
	s := r.run()
	if s.Deleted != 3 || s.TargetErr == nil || s.TargetErr.Reason != transfer.MaxDelete || s.TargetStats.Bytes != 5 {
		t.Errorf("summary %+v", s)
	}
	m := r.target.got[0].(*transfer.Open)
	if m.UID != r.job.UID || m.Epoch != 1 || !m.Options.Delete || m.Options.Chmod != "go-w" || m.Options.ChunkSize != mib || m.Dest != "/dst" || m.ID != "job" || m.Owner != "n1" {
		t.Errorf("open %+v", m)
	}
}

func TestRefused(t *testing.T) {
	r := newRig(t, map[string]int{"a": 10}, func(r *rig) { r.target.refuse = &transfer.Error{Reason: transfer.DestBusy} })
	if s, err := r.edge.Run(t.Context()); transfer.ReasonOf(err) != transfer.DestBusy || !s.Refused || s.Confirmed != 0 {
		t.Errorf("%v, refused %v, confirmed %v", err, s.Refused, s.Confirmed)
	}
}

func TestMissingSourceLetsTheDestinationGo(t *testing.T) {
	r := newRig(t, nil, nil)
	r.fails(transfer.SourceNotFound)
	if n := count[*transfer.Abort](r.target); n != 1 {
		t.Errorf("%d aborts", n)
	}
}

func TestContextEndsTheEdge(t *testing.T) {
	r := newRig(t, map[string]int{"a": 10}, func(r *rig) {
		r.target.held = func(*transfer.Entry) bool { return true }
	})
	defer close(r.target.release)
	ctx, cancel := context.WithCancel(t.Context())
	r.obs.onResult = func(transfer.Result) { t.Error("a result of nothing") }
	go cancel()
	_, err := r.edge.Run(ctx)
	if transfer.ReasonOf(err) != transfer.NodeStopping {
		t.Errorf("error %v", err)
	}
}
