package receiver

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

func again(m *transfer.Open) { m.Again = true }

// failingSyncs lets the first syncs of temporary files fail, as the kernel does: once
// for each file, and the next would go well.
func (g *rig) failingSyncs(n int64) (synced *atomic.Int64) {
	synced = new(atomic.Int64)
	seen := map[string]bool{} // of the one publisher that has something to do
	g.syncTemp = func(f *fsroot.File) error {
		if seen[f.Path()] {
			g.t.Errorf("%s was synced again", f.Path())
		}
		seen[f.Path()] = true
		if synced.Add(1) <= n {
			return &fsroot.PathError{Op: "sync", Path: f.Path(), Err: syscall.EIO}
		}
		return f.Sync()
	}
	return synced
}

// TestP2FailedSyncIsFollowedByAFreshAttempt: everything is sent once more, into
// another file, and the file system is told to be degraded until then.
func TestP2FailedSyncIsFollowedByAFreshAttempt(t *testing.T) {
	for name, size := range map[string]int64{"small": 1000, "large": 3*testChunk + 1} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			g.failingSyncs(1)
			o := g.dial(g.request("d", again))
			o.announce(dir(root, ""), regular(0, "f", pattern(size, 1)), endDir(0))
			o.answer(1)
			o.sendRange(1, o.sources[1].whole())
			o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 1}}})
			o.await("the demand", func() bool { return o.answers[1].Want == transfer.WantAgain })
			if list := g.Degraded(); len(list) != 1 || transfer.ReasonOf(list[0].Err) != transfer.DestIOError {
				t.Errorf("degraded: %+v", list)
			}
			if exists(g.path("d/f")) {
				t.Error("it is published")
			}
			g.wantNoTemps()
			o.serve()
			o.want(1, transfer.OutcomePublished)
			if o.again != 1 {
				t.Errorf("it was asked for %d times more", o.again)
			}
			if list := g.Degraded(); len(list) != 0 {
				t.Errorf("still degraded: %+v", list)
			}
			o.finish()
			g.wantFile("d/f", pattern(size, 1))
			g.wantClean()
		})
	}
}

// TestP2EmptyFileIsMadeOnceMore: it has no bytes to be asked for, so the target makes
// it again by itself, once, whatever the owner knows.
func TestP2EmptyFileIsMadeOnceMore(t *testing.T) {
	for fails, outcome := range map[int64]transfer.Outcome{1: transfer.OutcomePublished, 2: transfer.OutcomeFailed} {
		g := newRig(t)
		synced := g.failingSyncs(fails)
		o := g.dial(g.request("d"))
		o.announce(dir(root, ""), regular(0, "empty", nil), endDir(0))
		o.want(1, outcome)
		if synced.Load() != 2 || o.again != 0 {
			t.Errorf("synced %d times, asked for %d times more", synced.Load(), o.again)
		}
		if list := g.Degraded(); (len(list) == 0) != (fails == 1) {
			t.Errorf("degraded: %+v", list)
		}
		o.finish()
		if exists(g.path("d/empty")) != (fails == 1) {
			t.Errorf("with %d syncs that fail it is there, or is not", fails)
		}
		g.wantClean()
	}
}

// TestP2SyncThatFailsTwice: one fresh attempt is all there is, and only of owners that
// know of it.
func TestP2SyncThatFailsTwice(t *testing.T) {
	for _, tt := range []struct {
		open  func(*transfer.Open)
		again int
	}{{again, 1}, {func(*transfer.Open) {}, 0}} {
		g := newRig(t)
		synced := g.failingSyncs(100)
		o := g.dial(g.request("d", tt.open))
		o.announce(dir(root, ""), regular(0, "f", pattern(2*testChunk, 1)), endDir(0))
		o.serve()
		o.fails(1, transfer.DestIOError)
		if o.again != tt.again || synced.Load() != int64(1+tt.again) {
			t.Errorf("asked for %d times more, synced %d times, want %d", o.again, synced.Load(), tt.again)
		}
		if list := g.Degraded(); len(list) != 1 {
			t.Errorf("degraded: %+v", list)
		}
		o.finish()
		g.wantClean()
	}
}

// TestWriteThatFailsIsFollowedByAFreshAttempt: for an I/O error, and not for others.
func TestWriteThatFailsIsFollowedByAFreshAttempt(t *testing.T) {
	for errno, anew := range map[syscall.Errno]bool{syscall.EIO: true, syscall.EDQUOT: false} {
		g := newRig(t)
		o := g.dial(g.request("d", again))
		o.announce(dir(root, ""), regular(0, "f", pattern(3*testChunk, 1)), endDir(0))
		o.answer(1)
		o.sendRange(1, transport.Range{Length: testChunk})
		bad := o.extent(1, testChunk)
		if _, err := o.sink().Place(t.Context(), 9, []transport.ExtentHeader{bad.ExtentHeader}); err != nil {
			t.Fatal(err)
		}
		bad.Code, bad.Err = transport.Refused, &fsroot.PathError{Op: "write", Path: "f", Err: errno}
		o.sink().Landed(t.Context(), 9, []transport.Arrival{bad})
		o.serve()
		if !anew {
			o.fails(1, transfer.DestQuota)
		} else if r := o.want(1, transfer.OutcomePublished); r.Err == nil {
			g.wantFile("d/f", pattern(3*testChunk, 1))
		}
		if (o.again == 1) != anew {
			t.Errorf("%v: asked for %d times more", errno, o.again)
		}
		o.finish()
		g.wantClean()
	}
}

// TestFreshAttemptOfWhatTheOwnerGaveUp: nobody waits for bytes that will not come.
func TestFreshAttemptOfWhatTheOwnerGaveUp(t *testing.T) {
	g := newRig(t)
	g.failingSyncs(1)
	o := g.dial(g.request("d", again))
	o.announce(dir(root, ""), regular(0, "f", pattern(2*testChunk, 1)), endDir(0))
	o.answer(1)
	o.sendRange(1, o.sources[1].whole())
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 1}}})
	o.await("the demand", func() bool { return o.answers[1].Want == transfer.WantAgain })
	o.send(&transfer.EntryGiveUp{Entry: 1, Err: &transfer.Error{Reason: transfer.SourceVanished, Side: transfer.SideSource, Err: errors.New("gone")}})
	o.fails(1, transfer.SourceVanished)
	o.finish()
	g.wantClean()
}
