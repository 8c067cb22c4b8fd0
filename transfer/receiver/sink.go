package receiver

import (
	"context"
	"errors"
	"fmt"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// maxSmall is the largest file, in bytes, that is gathered in memory and written
// with one call. It is what owners pack; larger ones may be copied by the kernel.
const maxSmall = 256 << 10

// sink lands the chunks of one data plane. It implements transport.Sink.
type sink struct {
	*edge
}

// Refusals that hold no lease.
var (
	errNotWanted = errors.New("the extent was not asked for")
	errUnderWay  = errors.New("the same extent is on its way already")
)

// Place implements transport.Sink. It takes a write lease for every extent that
// it does not refuse.
func (s *sink) Place(ctx context.Context, _ uint64, extents []transport.ExtentHeader) ([]transport.Landing, error) {
	landings := make([]transport.Landing, len(extents))
	open := make([]*file, len(extents)) // those that need a file
	s.mu.Lock()
	for i := range extents {
		f, err := s.lease(&extents[i], &landings[i])
		if err != nil {
			s.mu.Unlock()
			s.unplace(extents[:i], landings)
			return nil, err
		}
		open[i] = f
	}
	s.mu.Unlock()
	for i, f := range open {
		if f == nil {
			continue
		}
		t, err := s.ensureTemp(ctx, f)
		if err != nil {
			terr := s.entryFailure(err, transfer.PhaseWrite, &f.e)
			landings[i] = transport.Landing{Refuse: terr}
			s.endLease(f, &extents[i], func() { s.doom(f, terr) })
			continue
		}
		landings[i].File, landings[i].Unsynced = t.f.OS(), !s.opt.durable()
	}
	return landings, nil
}

// lease checks an extent and takes the write lease. The mutex is held. It
// returns the file when the bytes go straight into its temp. An error is a peer
// that makes things up.
func (s *sink) lease(h *transport.ExtentHeader, l *transport.Landing) (*file, error) {
	f := s.files[h.Entry]
	if f == nil {
		if h.Entry >= uint64(len(s.states)) {
			return nil, fmt.Errorf("extent of entry %d, which does not exist", h.Entry)
		}
		switch s.states[h.Entry].outcome() {
		case transfer.OutcomePublished, transfer.OutcomeSame:
			return nil, nil // sent again after a fence: taken, and thrown away
		}
		l.Refuse = errNotWanted
		return nil, nil
	}
	if h.Offset < 0 || h.Length <= 0 || h.Offset >= f.e.Size || f.extents == 0 ||
		h.Offset%s.opt.ChunkSize != 0 || h.Length != transfer.ExtentRange(h.Offset/s.opt.ChunkSize, f.e.Size, s.opt.ChunkSize).Length {
		return nil, fmt.Errorf("extent [%d,+%d) is not on the grid of entry %d", h.Offset, h.Length, h.Entry)
	}
	if f.phase == phasePublish && f.whole() {
		return nil, nil // as above, on its way to its name
	}
	if f.phase != phaseWanted || f.giveUp != nil || f.restart != nil {
		l.Refuse = errNotWanted
		return nil, nil
	}
	f.begin()
	i := h.Offset / s.opt.ChunkSize
	switch {
	case f.landed.has(i):
		return nil, nil // compared in Landed
	case f.inflight.has(i):
		l.Refuse = errUnderWay
		return nil, nil
	}
	f.inflight.set(i)
	f.writers++
	if f.extents == 1 && f.e.Size <= maxSmall {
		return nil, nil
	}
	return f, nil
}

// unplace gives the leases of a chunk back that is refused as a whole.
func (s *sink) unplace(extents []transport.ExtentHeader, landings []transport.Landing) {
	for i := range extents {
		if landings[i].Refuse != nil {
			continue
		}
		s.mu.Lock()
		f := s.files[extents[i].Entry]
		s.mu.Unlock()
		if f != nil {
			s.endLease(f, &extents[i], nil)
		}
	}
}

// endLease drops a write lease without a landed extent, and carries out what
// waited for it. then runs first.
func (s *sink) endLease(f *file, h *transport.ExtentHeader, then func()) {
	if then != nil {
		then()
	}
	s.mu.Lock()
	next := func() {}
	if i := h.Offset / s.opt.ChunkSize; f.inflight != nil && f.inflight.has(i) {
		f.inflight.clear(i)
		f.writers--
		next = s.settle(f)
	}
	s.mu.Unlock()
	next()
}

// doom makes a file fail as soon as no writer is left.
func (e *edge) doom(f *file, err *transfer.Error) {
	e.mu.Lock()
	if f.giveUp == nil {
		f.giveUp = err
	}
	next := e.settle(f)
	e.mu.Unlock()
	next()
}

// Landed implements transport.Sink.
func (s *sink) Landed(ctx context.Context, _ uint64, arrivals []transport.Arrival) []transport.Verdict {
	verdicts := make([]transport.Verdict, len(arrivals))
	var small []int
	var landed []landedExtent
	for i := range arrivals {
		a := &arrivals[i]
		verdicts[i] = transport.Verdict{Code: transport.Placed, Digest: a.Digest}
		s.mu.Lock()
		f := s.files[a.Entry]
		at := a.Offset / s.opt.ChunkSize
		// The offset of one that was refused was looked at for another version of
		// its file, or for none at all.
		known := f != nil && a.Offset >= 0 && at < int64(len(f.digests))
		leased := known && f.inflight.has(at)
		repeat := known && !leased && f.landed.has(at)
		same := repeat && (a.Digest.IsZero() || a.Digest == f.digests[at])
		s.mu.Unlock()
		switch {
		case a.Err != nil || a.Code != transport.Placed:
			verdicts[i] = transport.Verdict{Code: a.Code, Err: a.Err}
			if leased && !errors.Is(a.Err, errUnderWay) && !errors.Is(a.Err, errNotWanted) {
				s.refused(f, a)
			}
		case repeat && !same:
			verdicts[i] = transport.Verdict{Code: transport.Refused, Err: errors.New("other bytes of this extent have landed before")}
		case !leased: // it is here already
		case f.extents == 1 && f.e.Size <= maxSmall:
			small = append(small, i)
		default:
			landed = append(landed, landedExtent{Entry: a.Entry, Offset: a.Offset, Length: a.Length, Digest: a.Digest})
		}
	}
	if len(landed) > 0 {
		s.landLarge(ctx, landed, arrivals, verdicts)
	}
	if len(small) > 0 {
		s.landSmall(ctx, small, arrivals, verdicts)
	}
	return verdicts
}

// refused undoes what an extent that did not arrive well left in the temp: where
// the one that is sent again has a hole, there must be one.
func (s *sink) refused(f *file, a *transport.Arrival) {
	s.endLease(f, &a.ExtentHeader, func() {
		s.mu.Lock()
		t := f.temp
		s.mu.Unlock()
		if t != nil && t.f != nil && f.e.Flags&transfer.EntrySparse != 0 {
			if err := t.f.Punch(a.Offset, a.Length); err != nil {
				if err = zero(t, a.Offset, a.Length); err != nil {
					s.doom(f, s.entryFailure(err, transfer.PhaseWrite, &f.e))
				}
			}
		}
		if a.Code == transport.Refused && a.Err != nil { // this side could not write
			s.doom(f, s.entryFailure(a.Err, transfer.PhaseWrite, &f.e))
		}
	})
}

// zero writes zeros where a hole cannot be made.
func zero(t *temp, off, length int64) error {
	var b [64 << 10]byte
	for length > 0 {
		n := min(length, int64(len(b)))
		if err := t.f.Pwrite(b[:n], off); err != nil {
			return err
		}
		off, length = off+n, length-n
	}
	return nil
}

// recordLanded writes extents to the journal. A file of one extent needs no
// record: it has landed whole or not at all, and is not kept as a partial.
func (s *sink) recordLanded(landed []landedExtent) error {
	list := make([]landedExtent, 0, len(landed))
	s.mu.Lock()
	for i := range landed {
		if s.files[landed[i].Entry].extents > 1 {
			list = append(list, landed[i])
		}
	}
	s.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	_, err := s.journal.append(frameLanded, appendLanded(nil, list))
	if transfer.ReasonOf(err) == transfer.StateNoSpace {
		// The data goes on: what is not in the record is sent again, if this attempt
		// does not come to its end. Publishing waits for room.
		return nil
	}
	return err
}

// landLarge records extents whose bytes are in their temps, with one write to
// the journal, before anybody is told.
func (s *sink) landLarge(ctx context.Context, landed []landedExtent, arrivals []transport.Arrival, verdicts []transport.Verdict) {
	failpoint.Hit("receiver/placed")
	err := s.recordLanded(landed)
	failpoint.Hit("receiver/landed")
	if err != nil {
		s.cancel(err)
	}
	next := make([]func(), 0, len(landed))
	s.mu.Lock()
	for i := range landed {
		x := &landed[i]
		f, at := s.files[x.Entry], x.Offset/s.opt.ChunkSize
		f.inflight.clear(at)
		f.writers--
		if err == nil {
			f.landed.set(at)
			f.digests[at] = x.Digest
			f.count++
		}
		next = append(next, nil)
	}
	for i := range arrivals {
		a := &arrivals[i]
		f := s.files[a.Entry]
		if f == nil || f.task != taskFile || !a.Final || verdicts[i].Code != transport.Placed {
			continue
		}
		f.done = f.done || f.extents == 1 && f.count == 1
	}
	for i := range landed {
		if f := s.files[landed[i].Entry]; f != nil {
			next[i] = s.settle(f)
		}
	}
	s.mu.Unlock()
	if err != nil {
		for i := range arrivals {
			verdicts[i] = transport.Verdict{Code: transport.Unknown, Err: err}
		}
	}
	for _, n := range next {
		if n != nil {
			n()
		}
	}
	s.pub.wait(ctx)
}
