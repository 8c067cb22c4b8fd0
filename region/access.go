package region

import (
	"os"
	"sync"
	"time"
)

// access is what Reading and Writing have in common: the memory of a region, which
// stays as long as it is open.
type access struct {
	g    *region
	once sync.Once
	pins int64 // guarded by g.mu
	over bool  // likewise
}

// File is the memfd, which may be read at offsets. It is not the caller's to close,
// nor is its position.
func (a *access) File() *os.File { return a.g.mem.f }

// Memory is the whole region, mapped for reading and writing. A program that may
// write the region may have punched holes in it: a touch of one can fault when no
// memory is left. Touch it under fault.Guard (internal/fault).
func (a *access) Memory() []byte { return a.g.mem.b }

// Size of the region in bytes.
func (a *access) Size() int64 { return a.g.spec.Size }

// UID tells regions of one name apart.
func (a *access) UID() [16]byte { return a.g.uid }

// Generation rises with every commit. It is that of now.
func (a *access) Generation() uint64 { return a.g.generation.Load() }

// Revoked is closed when the region is being deleted, or its lease ended. Stop, make
// sure that nothing touches the memory any more, and Close: the deletion waits.
func (a *access) Revoked() <-chan struct{} { return a.g.revoked }

// Pinned tells that bytes were registered with a device, or (negative) are not any
// more. It is for people to look at; Close takes away what is left.
func (a *access) Pinned(delta int64) {
	a.g.mu.Lock()
	defer a.g.mu.Unlock()
	if a.over {
		return
	}
	a.pins += delta
	a.g.pinned += delta
}

// Quarantine says that the memory could not be fenced: a device may read it, or late
// bytes land in it, for as long as this process runs. Nobody can use the region any
// more, and its memory is never given back; what is open to be written is torn.
// Close all the same.
func (a *access) Quarantine(cause error) {
	g := a.g
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == Quarantined || g.finished {
		return
	}
	if g.state != Deleting {
		close(g.revoked)
	}
	g.state, g.detail, g.expires = Quarantined, cause.Error(), time.Time{}
	for w := range g.open {
		w.touched.Store(true)
	}
	g.finished = true
	close(g.ended)
	g.r.cfg.Log.Error("a region is quarantined: its memory could not be fenced", "region", g.spec.ID, "err", cause)
	g.tell()
	g.changed(Event{Kind: StateChanged})
	g.hangUp()
}

func (a *access) release() {
	a.g.mu.Lock()
	a.g.pinned -= a.pins
	a.pins, a.over = 0, true
	a.g.mu.Unlock()
	a.g.r.release(a.g)
}

// Reading is the right to read the memory of a region until Close. It excludes
// nobody: what is read of ranges that are being written is undefined.
type Reading struct{ access }

// Read opens a region to be read for a principal. Errors: ErrNotFound, ErrDetached,
// ErrGone, ErrQuarantined.
func (r *Registry) Read(principal, id string) (_ *Reading, err error) {
	defer func() { r.stats.refuse(err) }()
	g, err := r.find(principal, id)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.usable(false); err != nil {
		return nil, err
	}
	g.use()
	return &Reading{access{g: g}}, nil
}

// Close ends the use of the memory: nothing may touch it any more. Idempotent.
func (x *Reading) Close() error {
	x.once.Do(x.release)
	return nil
}
