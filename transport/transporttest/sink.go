package transporttest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/transport"
)

// Sink is a scripted transport.Sink. It keeps what lands, in memory or in files,
// and checks the order of calls.
type Sink struct {
	// Files makes extents land in files instead of memory.
	Files bool
	// InPlace, when set, says where in memory an extent belongs.
	InPlace func(h transport.ExtentHeader) [][]byte
	// Place and Landed, when set, run first in the method of that name.
	OnPlace  func(ctx context.Context, seq uint64, extents []transport.ExtentHeader) error
	OnLanded func(ctx context.Context, seq uint64, arrivals []transport.Arrival)
	// Refuse, when set, decides on each extent.
	Refuse func(h transport.ExtentHeader) error

	dir string

	mu      sync.Mutex
	sealed  bool
	placed  map[uint64]bool
	files   map[uint64]*os.File
	mem     map[uint64][]byte
	digests map[[2]uint64]transport.Digest // by entry and offset
	codes   map[transport.Code]int
	flags   map[uint64]bool // Final, by entry
	active  int
	most    int
	faults  []string
}

// NewSink returns a sink; what it opens is closed with the test.
func NewSink(t *testing.T) *Sink {
	s := &Sink{
		dir: t.TempDir(), placed: map[uint64]bool{}, files: map[uint64]*os.File{}, mem: map[uint64][]byte{},
		digests: map[[2]uint64]transport.Digest{}, codes: map[transport.Code]int{}, flags: map[uint64]bool{},
	}
	t.Cleanup(func() {
		for _, f := range s.files {
			f.Close()
		}
		for _, fault := range s.faults {
			t.Error(fault)
		}
	})
	return s
}

// seal says that no call may come any more.
func (s *Sink) seal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = true
	if len(s.placed) > 0 {
		s.faults = append(s.faults, fmt.Sprintf("%d chunks placed and not landed after the fence", len(s.placed)))
	}
}

func (s *Sink) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// Place implements transport.Sink.
func (s *Sink) Place(ctx context.Context, seq uint64, extents []transport.ExtentHeader) ([]transport.Landing, error) {
	s.mu.Lock()
	s.active++
	s.most = max(s.most, s.active)
	if s.sealed {
		s.fault("Place of chunk %d after the fence", seq)
	}
	s.mu.Unlock()
	landings, err := s.land(ctx, seq, extents)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.active--
		return nil, err
	}
	if s.placed[seq] {
		s.fault("chunk %d placed twice", seq)
	}
	s.placed[seq] = true
	return landings, nil
}

func (s *Sink) land(ctx context.Context, seq uint64, extents []transport.ExtentHeader) ([]transport.Landing, error) {
	if s.OnPlace != nil {
		if err := s.OnPlace(ctx, seq, extents); err != nil {
			return nil, err
		}
	}
	landings := make([]transport.Landing, len(extents))
	for i := range extents {
		if s.Refuse != nil {
			if err := s.Refuse(extents[i]); err != nil {
				landings[i].Refuse = err
				continue
			}
		}
		if s.InPlace != nil {
			landings[i].Mem = s.InPlace(extents[i])
			continue
		}
		if s.Files {
			f, err := s.file(extents[i].Entry)
			if err != nil {
				return nil, err
			}
			landings[i].File = f
		}
	}
	return landings, nil
}

func (s *Sink) file(entry uint64) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[entry]; f != nil {
		return f, nil
	}
	f, err := os.CreateTemp(s.dir, "")
	if err != nil {
		return nil, err
	}
	s.files[entry] = f
	return f, os.Remove(f.Name())
}

// Landed implements transport.Sink.
func (s *Sink) Landed(ctx context.Context, seq uint64, arrivals []transport.Arrival) []transport.Verdict {
	if s.OnLanded != nil {
		s.OnLanded(ctx, seq, arrivals)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	if s.sealed {
		s.fault("Landed of chunk %d after the fence", seq)
	}
	if !s.placed[seq] {
		s.fault("chunk %d landed but not placed", seq)
	}
	delete(s.placed, seq)
	verdicts := make([]transport.Verdict, len(arrivals))
	for i := range arrivals {
		a := &arrivals[i]
		verdicts[i] = transport.Verdict{Code: a.Code, Digest: a.Digest, Err: a.Err}
		s.codes[a.Code]++
		if (a.Err == nil) != (a.Code == transport.Placed) {
			s.fault("arrival with code %v and error %v", a.Code, a.Err)
		}
		if a.Err != nil {
			continue
		}
		s.digests[[2]uint64{a.Entry, uint64(a.Offset)}] = a.Digest
		s.flags[a.Entry] = a.Final
		s.keep(a)
	}
	return verdicts
}

// keep stores what arrived in memory.
func (s *Sink) keep(a *transport.Arrival) {
	if s.InPlace != nil {
		if a.Mem != nil {
			s.fault("bytes that are in their place were handed over too")
		}
		return
	}
	if s.Files {
		if f := s.files[a.Entry]; f != nil {
			if info, err := f.Stat(); err == nil && info.Size() < a.End() {
				f.Truncate(a.End())
			}
		}
		return
	}
	b := s.mem[a.Entry]
	if int64(len(b)) < a.End() {
		b = append(b, make([]byte, a.End()-int64(len(b)))...)
	}
	mem := a.Mem
	for _, seg := range a.Segments {
		copy(b[seg.Offset:], mem[:seg.Length])
		mem = mem[seg.Length:]
	}
	if len(mem) > 0 {
		s.fault("%d bytes too many in Mem", len(mem))
	}
	s.mem[a.Entry] = b
}

// content returns what landed of an entry.
func (s *Sink) content(t *testing.T, entry uint64) []byte {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[entry]
	if f == nil {
		return s.mem[entry]
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil && !isEOF(err) {
		t.Fatal(err)
	}
	return b
}

func digestOf(b []byte) transport.Digest { return xxh3.Hash128(b).Bytes() }
