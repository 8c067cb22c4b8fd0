package sender

import (
	"context"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// fence has the target end a data plane that broke, and asks it what landed of
// what nobody answered for: only the rest goes again. It reports whether
// anything did.
func (e *Edge) fence(ctx context.Context) (landed bool, err error) {
	var asked []transfer.ExtentID
	e.mu.Lock()
	for _, l := range e.unsure {
		for i := range l.verdicts {
			// The plan never has more on its way than may be asked for. If it did,
			// the rest would be sent again, which the target bears.
			if isUnknown(l.verdicts[i]) && len(asked) < transfer.MaxAsked {
				asked = append(asked, transfer.ExtentID{Entry: l.want.Extents[i].Entry, Offset: l.want.Extents[i].Offset})
			}
		}
	}
	e.mu.Unlock()
	e.out.post(&transfer.FenceData{Asked: asked})
	answered := e.asks("FenceData")
	m, err := await(ctx, e.fenced)
	answered()
	if err != nil {
		return false, err
	}
	next := uint32(0)
	for _, x := range m.Landed {
		if x.Asked < next || int64(x.Asked) >= int64(len(asked)) {
			return false, broken(&e.job, "an answer for extent %d of %d that were asked for", x.Asked, len(asked))
		}
		next = x.Asked + 1
	}
	e.settleUnsure(m.Landed)
	return len(m.Landed) > 0, nil
}

// settleUnsure gives the loads of a broken data plane to be settled, with what
// the target has of them. The extents are counted as fence counts them.
func (e *Edge) settleUnsure(landed []transfer.LandedExtent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	asked := uint32(0)
	for k, l := range e.unsure {
		for i := range l.verdicts {
			if !isUnknown(l.verdicts[i]) {
				continue
			}
			if len(landed) > 0 && landed[0].Asked == asked {
				// Without its digest that of the file could not be told. Final ones
				// are files of their own.
				if !e.hash || l.final || !landed[0].Digest.IsZero() {
					l.verdicts[i] = transport.Verdict{Code: transport.Placed, Digest: landed[0].Digest}
				}
				landed = landed[1:]
			}
			asked++
		}
		e.settled = append(e.settled, settlement{load: l})
		e.unsure[k] = nil
	}
	e.unsure = e.unsure[:0]
	e.settle.Signal()
}

func isUnknown(v transport.Verdict) bool { return v.Code == transport.Unknown }
