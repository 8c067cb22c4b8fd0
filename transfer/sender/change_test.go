package sender

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// onExtent runs f when the n-th extent of any entry arrives, and lets all land. Those
// before it have landed by then, and those after it are not read yet: nobody looks at
// a source that f has changed by half.
func onExtent(r *rig, n int, f func()) {
	lock := make(chan struct{}, 1) // of which a bubble knows who waits for it
	came := 0
	r.target.verdict = func(*transport.Extent, int) transport.Verdict {
		lock <- struct{}{}
		defer func() { <-lock }()
		if came++; came == n {
			for r.target.landings() < n-1 {
				runtime.Gosched()
			}
			f()
		}
		return transport.Verdict{}
	}
}

func TestSourceChangesOnce(t *testing.T) {
	tests := []struct {
		name   string
		size   int
		during bool // while its bytes move, not before
		to     int
	}{
		{"small, before it is read", 1000, false, 900},
		{"small, same size", 1000, false, 1000},
		{"small grows large", 1000, false, 3 * mib},
		{"large, before", 3 * mib, false, 3*mib + 1},
		{"large, while it moves, same size", 3 * mib, true, 3 * mib},
		{"large grows", 3 * mib, true, 4 * mib},
		{"large shrinks", 3 * mib, true, mib},
		{"large becomes empty", 3 * mib, true, 0},
		{"large becomes small", 3 * mib, true, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changed := content("other", tt.to)
			r := newRig(t, map[string]int{"f": tt.size, "g": 100}, nil)
			if tt.during {
				onExtent(r, 2, func() { r.write("f", changed) })
			} else {
				var once sync.Once
				r.target.answer = func(en *transfer.Entry) *transfer.Answer {
					if en.Name == "f" {
						once.Do(func() { r.write("f", changed) })
					}
					return &transfer.Answer{Entry: en.Number, Want: transfer.WantAll}
				}
			}
			s := r.run()
			r.target.wantContent("f", changed)
			r.outcome("f", transfer.OutcomePublished, "")
			r.outcome("g", transfer.OutcomePublished, "")
			p := s.Progress
			if n := count[*transfer.EntryRestart](r.target); n != 1 || p.Restarts != 1 {
				t.Errorf("%d restarts, counted %d", n, p.Restarts)
			}
			if total := int64(tt.to + 100); p.Bytes != total || p.BytesDone+p.BytesSame != total {
				t.Errorf("progress %+v, want %d bytes", p, total)
			}
		})
	}
}

// touch rewrites a file whenever it is asked for.
func keepChanging(r *rig, name string, size int) {
	n := byte(0)
	r.target.answer = func(en *transfer.Entry) *transfer.Answer {
		if en.Name == name {
			n++
			b := content(name, size)
			b[0] = n
			r.write(name, b)
		}
		return &transfer.Answer{Entry: en.Number, Want: transfer.WantAll}
	}
}

func TestSourceKeepsChanging(t *testing.T) {
	for name, size := range map[string]int{"small": 1000, "large": 3 * mib} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, map[string]int{"f": size, "g": 10}, nil)
			keepChanging(r, "f", size)
			s := r.run()
			r.outcome("f", transfer.OutcomeFailed, transfer.SourceChanged)
			r.outcome("g", transfer.OutcomePublished, "")
			if n := count[*transfer.EntryRestart](r.target); n != maxRestarts {
				t.Errorf("%d restarts, want %d", n, maxRestarts)
			}
			if s.Failed != 1 || s.FirstFailure.Reason != transfer.SourceChanged || !filepath.IsAbs(s.FirstFailure.Path) {
				t.Errorf("summary %+v", s)
			}
		})
	}
}

func TestSourceVanishes(t *testing.T) {
	for name, size := range map[string]int{"small": 1000, "large": 3 * mib} {
		t.Run(name+" before it is read", func(t *testing.T) {
			r := newRig(t, map[string]int{"f": size, "g": 10}, nil)
			r.target.answer = func(en *transfer.Entry) *transfer.Answer {
				if en.Name == "f" {
					_ = os.Remove(r.path("f"))
				}
				return &transfer.Answer{Entry: en.Number, Want: transfer.WantAll}
			}
			r.run()
			r.outcome("f", transfer.OutcomeFailed, transfer.SourceVanished)
			r.outcome("g", transfer.OutcomePublished, "")
		})
	}
	t.Run("while it moves", func(t *testing.T) {
		r := newRig(t, map[string]int{"f": 3 * mib}, nil)
		onExtent(r, 2, func() { _ = os.Remove(r.path("f")) })
		r.run()
		r.outcome("f", transfer.OutcomeFailed, transfer.SourceVanished)
	})
	t.Run("replaced by a FIFO", func(t *testing.T) {
		r := newRig(t, map[string]int{"f": 1000}, nil)
		r.target.answer = func(en *transfer.Entry) *transfer.Answer {
			_ = errors.Join(os.Remove(r.path("f")), syscall.Mkfifo(r.path("f"), 0o644))
			return &transfer.Answer{Entry: en.Number, Want: transfer.WantAll}
		}
		r.run()
		r.outcome("f", transfer.OutcomeFailed, transfer.SourceNotRegular)
	})
}

func TestReplacedWhileItIsOpen(t *testing.T) {
	changed := content("new", 3*mib)
	r := newRig(t, map[string]int{"f": 3 * mib}, nil)
	onExtent(r, 2, func() {
		r.write("tmp", changed)
		_ = os.Rename(r.path("tmp"), r.path("f"))
	})
	r.run()
	r.target.wantContent("f", changed)
}

func TestMismatch(t *testing.T) {
	r := newRig(t, map[string]int{"f": 3 * mib, "g": 10}, nil)
	r.target.verdict = func(x *transport.Extent, try int) transport.Verdict {
		if try > 1 {
			if x.Bodies[0].Mem == nil || x.Digest.IsZero() {
				t.Error("an extent that arrived corrupted did not go by the plain path")
			}
			return transport.Verdict{}
		}
		if x.Offset == mib || x.Length == 10 {
			return transport.Verdict{Code: transport.Mismatch, Err: transport.ErrMismatch}
		}
		return transport.Verdict{}
	}
	s := r.run()
	r.target.wantContent("f", content("f", 3*mib))
	r.target.wantContent("g", content("g", 10))
	if s.Progress.Mismatches != 2 || s.Progress.Restarts != 0 {
		t.Errorf("progress %+v", s.Progress)
	}
}

func TestFiveMismatchesAreDataLoss(t *testing.T) {
	r := newRig(t, map[string]int{"f": 3 * mib}, nil)
	r.target.verdict = func(x *transport.Extent, try int) transport.Verdict {
		return transport.Verdict{Code: transport.Mismatch, Err: transport.ErrMismatch}
	}
	r.fails(transfer.ChecksumMismatch)
	if n := count[*transfer.Abort](r.target); n != 1 {
		t.Errorf("%d aborts: the destination has to be let go", n)
	}
}

// It is five in one transfer: what earlier attempts met counts.
func TestMismatchesOfEarlierAttemptsCount(t *testing.T) {
	for earlier, fails := range map[int64]bool{3: false, 4: true} {
		r := newRig(t, map[string]int{"f": 3 * mib}, func(r *rig) { r.job.Mismatches = earlier })
		r.target.verdict = func(x *transport.Extent, try int) transport.Verdict {
			if x.Offset == mib && try == 1 {
				return transport.Verdict{Code: transport.Mismatch, Err: transport.ErrMismatch}
			}
			return transport.Verdict{}
		}
		if fails {
			r.fails(transfer.ChecksumMismatch)
		} else if s := r.run(); s.Progress.Mismatches != 1 {
			t.Errorf("progress %+v", s.Progress)
		}
	}
}

func TestMismatchOfAChangedSourceIsNoCorruption(t *testing.T) {
	r := newRig(t, map[string]int{"f": 3 * mib}, nil)
	changed := content("other", 3*mib)
	r.target.verdict = func(x *transport.Extent, try int) transport.Verdict {
		if x.Offset == mib && try == 1 {
			r.write("f", changed)
			return transport.Verdict{Code: transport.Mismatch, Err: transport.ErrMismatch}
		}
		return transport.Verdict{}
	}
	s := r.run()
	r.target.wantContent("f", changed)
	if s.Progress.Mismatches != 0 || s.Progress.Restarts != 1 {
		t.Errorf("progress %+v", s.Progress)
	}
}

func TestReadErrors(t *testing.T) {
	tests := []struct {
		name  string
		times int
		v     transport.Verdict
		want  transfer.Reason
	}{
		{"once", 1, transport.Verdict{Code: transport.SourceFailed, Err: syscall.EIO}, ""},
		{"again and again", 99, transport.Verdict{Code: transport.SourceFailed, Err: syscall.EIO}, transfer.SourceIOError},
		{"short, though unchanged", 99, transport.Verdict{Code: transport.SourceShort}, transfer.SourceIOError},
		{"refused once", 1, transport.Verdict{Code: transport.Refused, Err: syscall.ENOSPC}, ""},
		{"refused for good", 99, transport.Verdict{Code: transport.Refused, Err: syscall.ENOSPC}, transfer.DestNoSpace},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, map[string]int{"f": 3 * mib, "g": 10}, nil)
			r.target.verdict = func(x *transport.Extent, try int) transport.Verdict {
				if x.Offset == mib && try <= tt.times {
					return tt.v
				}
				return transport.Verdict{}
			}
			r.run()
			r.outcome("g", transfer.OutcomePublished, "")
			if tt.want == "" {
				r.outcome("f", transfer.OutcomePublished, "")
				r.target.wantContent("f", content("f", 3*mib))
				return
			}
			r.outcome("f", transfer.OutcomeFailed, tt.want)
		})
	}
}

// TestTargetAsksForAFileOnceMore: it begins anew, with all of its bytes, once.
func TestTargetAsksForAFileOnceMore(t *testing.T) {
	for _, tt := range []struct {
		name  string
		size  int
		times int
	}{{"small", 100, 1}, {"large", 3*mib + 1, 1}, {"twice", 3 * mib, 2}} {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int64
			r := newRig(t, map[string]int{"f": tt.size}, func(r *rig) {
				r.target.onDone = func(entry uint64) bool {
					if asked.Add(1) > int64(tt.times) {
						return false
					}
					r.target.send(&transfer.Answers{Answers: []transfer.Answer{{Entry: entry, Want: transfer.WantAgain}}})
					return true
				}
			})
			if tt.times > 1 {
				r.fails(transfer.ProtocolError)
				return
			}
			r.run()
			r.target.wantContent("f", content("f", tt.size))
			if n := count[*transfer.EntryRestart](r.target); n != 1 {
				t.Errorf("%d restarts", n)
			}
			if p := r.obs.progress; p.BytesDone != int64(tt.size) || p.Restarts != 0 {
				t.Errorf("%+v", p)
			}
		})
	}
}
