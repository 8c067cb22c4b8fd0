package receiver

import (
	"context"
	"errors"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// entryDigests compares a file that is here with the digests that were asked for.
func (e *edge) entryDigests(m *transfer.EntryDigests) {
	e.mu.Lock()
	f := e.files[m.Entry]
	if f == nil || f.phase != phaseDigests {
		e.mu.Unlock()
		return
	}
	f.phase = phaseWork
	e.mu.Unlock()
	if want := transfer.Extents(f.e.Size, e.opt.ChunkSize); int64(len(m.Digests)) != want {
		e.fail(f, &transfer.Error{Reason: transfer.ProtocolError, Side: transfer.SideTarget, Phase: transfer.PhaseCompare, Node: e.r.cfg.Node, Path: f.name,
			Err: fmt.Errorf("%d digests for %d extents", len(m.Digests), want)})
		return
	}
	e.work.add(func() { e.compare(f, m.Digests) })
}

func (e *edge) compare(f *file, theirs []transport.Digest) {
	same, err := e.sameDigests(f, theirs)
	e.looked(f, same, transfer.PhaseCompare, err)
}

// looked goes on with an entry whose file at the destination was read in a worker:
// its content stays where it is the same, and is had again where it is not.
func (e *edge) looked(f *file, same bool, phase transfer.Phase, err error) {
	if e.busy.Err() != nil {
		return // the edge is ending: the entry stays without a result
	}
	e.mu.Lock()
	if f.giveUp != nil || f.restart != nil {
		f.phase = phaseWanted
		next := e.settle(f)
		e.mu.Unlock()
		next()
		return
	}
	e.mu.Unlock()
	var res transfer.Result
	var done bool
	switch {
	case err != nil:
	case same:
		res, done, err = e.keepContent(f)
	default:
		f.change |= transfer.ChangeContent
		res, done, err = e.need(f)
	}
	switch {
	case err != nil:
		e.fail(f, e.entryFailure(err, phase, &f.e))
	case done:
		e.report(res)
	}
}

// sameDigests hashes the file that is here, extent by extent, up to the first
// difference.
func (e *edge) sameDigests(f *file, theirs []transport.Digest) (bool, error) {
	h, err := e.openHere(f)
	if h == nil || err != nil {
		return false, err
	}
	defer h.Close()
	same := true
	buf, err := e.r.cfg.Pool.Get(e.busy, readBuffer)
	if err != nil {
		return false, err
	}
	defer buf.Release()
	err = e.hashExtents(e.busy, buf.Bytes(), h, f.e.Size, func(i int64) bool { return same }, func(i int64, own transport.Digest) {
		same = same && own == theirs[i]
	})
	return same, err
}

// openHere opens the file that is at the name of an entry; it is nil where there is
// none any more, which is then had again.
func (e *edge) openHere(f *file) (*fsroot.File, error) {
	d, err := e.dirs.get(f.dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	h, err := d.Open(f.name)
	if errors.Is(err, fsroot.ErrNotRegular) || fsMissing(err) {
		return nil, nil
	}
	return h, err
}

// readBuffer is how many bytes are read at a time to be hashed.
const readBuffer = 256 << 10

// hashExtents reads a file on the grid and calls got with the digest of each
// extent that want names. One that the file is too short for has a zero digest.
func (e *edge) hashExtents(ctx context.Context, buf []byte, h pread, size int64, want func(i int64) bool, got func(i int64, d transport.Digest)) error {
	var hasher xxh3.Hasher
	for i := range transfer.Extents(size, e.opt.ChunkSize) {
		if !want(i) {
			continue
		}
		hasher.Reset()
		x := transfer.ExtentRange(i, size, e.opt.ChunkSize)
		short := false
		for off := x.Offset; off < x.End() && !short; off += int64(len(buf)) {
			if err := ctx.Err(); err != nil {
				return err
			}
			b := buf[:min(int64(len(buf)), x.End()-off)]
			n, err := h.Pread(b, off)
			if err != nil {
				return err
			}
			short = n < len(b)
			_, _ = hasher.Write(b) // never fails
		}
		var d transport.Digest
		if !short {
			d = hasher.Sum128().Bytes()
		}
		got(i, d)
	}
	return nil
}
