package sender

import (
	"bytes"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/xferd/xferd/test/bubble"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// changedAt returns the ctime of a file.
func (r *rig) changedAt(name string) time.Time {
	r.t.Helper()
	info, err := os.Stat(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix())
}

// Time stands still in these tests while anything is read, so that how long a
// source was left alone is exact.
func TestYoungSourceIsReadLater(t *testing.T) {
	past, future := -time.Hour, time.Hour
	tests := []struct {
		name  string
		age   time.Duration // of ctime, by the clock of the node
		mtime *time.Duration
		want  time.Duration
	}{
		{"just now", 0, nil, minAge},
		{"almost old", minAge - 1, nil, minAge},
		{"old", minAge, nil, 0},
		{"a clock that is ahead", -time.Hour, nil, minAge},
		{"a tick ahead", -4 * time.Millisecond, nil, minAge},
		{"mtime was set back", 0, &past, minAge},
		{"mtime is to come", minAge, &future, minAge},
	}
	for _, size := range []int{1000, 3 * mib} {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					var answered time.Time
					r := newRig(t, map[string]int{"f": size}, nil)
					if tt.mtime != nil {
						m := r.changedAt("f").Add(*tt.mtime)
						if err := os.Chtimes(r.path("f"), m, m); err != nil {
							t.Fatal(err)
						}
					}
					clock := r.changedAt("f").Add(tt.age)
					r.edge.now = func() time.Time { return clock }
					r.target.answer = func(en *transfer.Entry) *transfer.Answer {
						answered = time.Now()
						return &transfer.Answer{Entry: en.Number, Want: transfer.WantAll}
					}
					r.target.verdict = func(*transport.Extent, int) transport.Verdict {
						if waited := time.Since(answered); waited != tt.want {
							t.Errorf("it was read after %v, want %v", waited, tt.want)
						}
						return transport.Verdict{}
					}
					s := r.run()
					r.target.wantContent("f", content("f", size))
					if s.Progress.Restarts != 0 {
						t.Errorf("%d restarts of a file that did not change", s.Progress.Restarts)
					}
				})
			})
		}
	}
}

// The times of a file are set when a write starts, and its bytes come later. A
// mapping whose pages are written to already does the same, at will.
func TestWriteThatIsUnderWay(t *testing.T) {
	for name, size := range map[string]int{"small": 8192, "large": 2 * mib} {
		for _, digests := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					r := newRig(t, map[string]int{"f": size}, nil)
					page := mapped(t, r.path("f"), size)
					fill := func(from, to int, c byte) { copy(page[from:to], bytes.Repeat([]byte{c}, to-from)) }
					fill(0, size, 'A')
					clock := r.changedAt("f").Add(time.Millisecond)
					r.edge.now = func() time.Time { return clock }

					fill(0, size/2, 'B')
					r.target.answer = func(en *transfer.Entry) *transfer.Answer {
						go func() {
							time.Sleep(minAge - 1)
							fill(size/2, size, 'B')
						}()
						want := transfer.WantAll
						if digests {
							want = transfer.WantDigests
						}
						return &transfer.Answer{Entry: en.Number, Want: want}
					}
					r.target.onDigests = func(m *transfer.EntryDigests) *transfer.Answer {
						if whole := bytes.Repeat([]byte{'B'}, min(size, mib)); m.Digests[len(m.Digests)-1] != digestOf(whole) {
							t.Error("the digests are of a file that is half written")
						}
						return &transfer.Answer{Entry: m.Entry, Want: transfer.WantAll}
					}
					r.run()
					r.target.wantContent("f", bytes.Repeat([]byte{'B'}, size))
				})
			})
		}
	}
}

// mapped returns the content of a file, to be written to.
func mapped(t *testing.T, path string, size int) []byte {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(b) })
	return b
}

func TestYoungSourcesWaitTogether(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		files := map[string]int{}
		for _, c := range content("names", 200) {
			files["f"+string(rune('a'+c%26))+string(rune('a'+c/26))] = 100 + int(c)
		}
		r := newRig(t, files, nil) // by the clock of these tests they are all to come
		began := time.Now()
		r.run()
		for name, size := range files {
			r.target.wantContent(name, content(name, size))
		}
		// The last name may have waited for others to make a batch.
		if took := time.Since(began); took < minAge || took > minAge+2*flushAfter {
			t.Errorf("it took %v", took)
		}
	})
}

func TestStopWhileASourceIsYoung(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]int{"f": 100}, nil)
		r.target.answer = func(en *transfer.Entry) *transfer.Answer {
			r.edge.Stop(transfer.EndCancel)
			return &transfer.Answer{Entry: en.Number, Want: transfer.WantAll}
		}
		r.fails(transfer.Cancelled)
		if n := r.target.chunks; n != 0 {
			t.Errorf("%d chunks were sent", n)
		}
	})
}

func TestYoungAnswersAreChecked(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]int{"f": 100}, nil)
		r.target.answer = func(en *transfer.Entry) *transfer.Answer {
			return &transfer.Answer{Entry: en.Number, Want: transfer.WantRanges, Ranges: []transport.Range{{Offset: 7, Length: 1}}}
		}
		r.fails(transfer.ProtocolError)
	})
}
