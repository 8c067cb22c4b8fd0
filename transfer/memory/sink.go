package memory

import (
	"context"
	"errors"
	"fmt"

	"github.com/xferd/xferd/transport"
)

// sink lands the chunks of one data plane. It implements transport.Sink.
type sink struct{ *edge }

// Refusals that hold no lease.
var (
	errNotWanted = errors.New("the extent was not asked for")
	errUnderWay  = errors.New("the same extent is on its way already")
)

// Place implements transport.Sink. It takes a write lease for every extent that it
// does not refuse: until Landed its memory may change. An extent that has landed and
// comes again has not landed until then.
func (s *sink) Place(_ context.Context, _ uint64, extents []transport.ExtentHeader) ([]transport.Landing, error) {
	landings := make([]transport.Landing, len(extents))
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &s.entry
	for i := range extents {
		h := &extents[i]
		at, ok := n.index(h)
		switch {
		case n.prepared && h.Entry != n.number: // late, or too early
			landings[i].Refuse = errNotWanted
			continue
		case !ok:
			s.unplace(extents[:i], landings)
			return nil, fmt.Errorf("extent [%d,+%d) of entry %d is not on the grid of the region's entry", h.Offset, h.Length, h.Entry)
		case n.phase != phaseWanted:
			landings[i].Refuse = errNotWanted
			continue
		case n.flying[at]:
			landings[i].Refuse = errUnderWay
			continue
		}
		memory, err := s.pieces(h)
		if err != nil {
			s.unplace(extents[:i], landings)
			return nil, err
		}
		if err := s.reopen(); err != nil {
			landings[i].Refuse = err
			continue
		}
		landings[i].Mem = memory
		n.flying[at] = true
		n.writers++
		if n.landed[at] {
			n.landed[at] = false
			n.count--
		}
		s.w.Touched()
	}
	return landings, nil
}

// pieces are where the bytes of an extent belong.
func (s *sink) pieces(h *transport.ExtentHeader) ([][]byte, error) {
	places, err := s.layout.Places(nil, h.Offset, h.Length)
	if err != nil {
		return nil, err
	}
	memory := s.w.Memory()
	list := make([][]byte, len(places))
	for i, p := range places {
		list[i] = memory[p.Offset:p.End():p.End()]
	}
	return list, nil
}

// unplace gives the leases of a chunk back that is refused as a whole. The mutex is
// held.
func (s *sink) unplace(extents []transport.ExtentHeader, landings []transport.Landing) {
	for i := range extents {
		if landings[i].Mem != nil {
			s.release(&extents[i])
		}
	}
}

// release ends a lease. The mutex is held.
func (s *sink) release(h *transport.ExtentHeader) {
	if at, ok := s.entry.index(h); ok && s.entry.flying[at] {
		s.entry.flying[at] = false
		s.entry.writers--
	}
}

// Landed implements transport.Sink.
func (s *sink) Landed(_ context.Context, _ uint64, arrivals []transport.Arrival) []transport.Verdict {
	verdicts := make([]transport.Verdict, len(arrivals))
	s.mu.Lock()
	n := &s.entry
	for i := range arrivals {
		a := &arrivals[i]
		if a.Err != nil || a.Code != transport.Placed {
			verdicts[i] = transport.Verdict{Code: a.Code, Err: a.Err}
			if !errors.Is(a.Err, errUnderWay) && !errors.Is(a.Err, errNotWanted) {
				s.release(&a.ExtentHeader)
			}
			continue
		}
		at, ok := n.index(&a.ExtentHeader)
		if !ok || !n.flying[at] {
			verdicts[i] = transport.Verdict{Code: transport.Refused, Err: errNotWanted}
			continue
		}
		s.release(&a.ExtentHeader)
		n.landed[at], n.digests[at] = true, a.Digest
		n.count++
		n.done = n.done || a.Final && len(n.landed) == 1
		verdicts[i] = transport.Verdict{Code: transport.Placed, Digest: a.Digest}
	}
	commit := s.takeCommit()
	s.mu.Unlock()
	commit()
	return verdicts
}
