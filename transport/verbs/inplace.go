package verbs

import (
	"errors"
	"fmt"
	"time"

	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

// errElsewhere: the sink has an extent belong where the source could not write.
var errElsewhere = errors.New("the extent belongs outside of the memory of its edge")

// look checks an extent that the source wrote to where it belongs, and clears its
// holes there.
func (l *landing) look(sl *inSlot, i int, p *transport.Landing) {
	a := &sl.arrivals[i]
	if p.Refuse != nil {
		a.Code, a.Err = transport.Refused, p.Refuse
		return
	}
	if err := l.lookAt(sl, a, p.Mem); err != nil {
		a.Code, a.Err, a.Digest = transport.Refused, fmt.Errorf("place the extent: %w", err), transport.Digest{}
		return
	}
	chunkio.Judge(a, &sl.seals[i], l.in.opt.Verify)
	if a.Code == transport.Mismatch {
		l.in.stats.Mismatches.Add(1)
	}
}

func (l *landing) lookAt(sl *inSlot, a *transport.Arrival, mem [][]byte) error {
	if err := chunkio.Fits(&a.ExtentHeader, mem); err != nil {
		return err
	}
	for _, b := range mem {
		if off, ok := l.memory.memory.Within(b); len(b) > 0 && (!ok || !l.memory.holds(off, int64(len(b)))) {
			return errElsewhere
		}
	}
	if a.DataLength() < a.Length {
		if err := chunkio.ClearHoles(&a.ExtentHeader, mem); err != nil {
			return err
		}
	}
	if !l.in.opt.Verify {
		return nil
	}
	start := time.Now()
	defer l.in.stats.Hashing.Since(start)
	d, err := chunkio.DigestMemory(&sl.hasher, mem)
	a.Digest = d
	return err
}
