package tcp

import (
	"fmt"
	"os"
	"time"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

// take reads the body and the trailer of a chunk and fills arrivals. An error is
// one of the stream: no arrival is good then.
func (r *receiver) take(landings []transport.Landing) error {
	n := len(r.extents)
	r.arrivals = append(r.arrivals[:0], make([]transport.Arrival, n)...)
	r.seals = append(r.seals[:0], make([]wire.Seal, n)...)
	for i := range r.arrivals {
		r.arrivals[i].ExtentHeader = r.extents[i]
	}
	err := r.borrow(landings)
	for i := 0; i < n && err == nil; i++ {
		err = r.extent(&r.arrivals[i], &landings[i])
	}
	if err == nil {
		err = r.trailer()
	}
	if err != nil {
		for i := range r.arrivals {
			a := &r.arrivals[i]
			a.Code, a.Err, a.Mem, a.Digest = transport.Unknown, err, nil, transport.Digest{}
		}
		return err
	}
	for i := range r.arrivals {
		a := &r.arrivals[i]
		if chunkio.Judge(a, &r.seals[i], r.in.opt.Verify); a.Code == transport.Mismatch {
			r.in.stats.Mismatches.Add(1)
		}
	}
	return nil
}

// borrow takes the memory for a chunk in one lease, so that no stream holds one
// part while it waits for another: first what is handed over as Arrival.Mem,
// behind it a block for what goes to files. Memory to be handed over is waited
// for; a block makes do with less.
func (r *receiver) borrow(landings []transport.Landing) error {
	pool := r.in.t.cfg.RecvPool
	mem := 0
	files := false
	for i := range landings {
		l := &landings[i]
		switch {
		case l.Refuse == nil && l.Mem != nil: // it has its memory
		case l.Refuse == nil && l.File == nil:
			mem += int(r.extents[i].DataLength())
		default:
			files = true
		}
	}
	size := int(min(r.left, block))
	switch {
	case mem == 0 && (size == 0 || !files):
		return nil
	case mem == 0:
		var ok bool
		if r.lease, ok = pool.TryGet(size); !ok {
			r.block = make([]byte, min(size, smallBlock))
			return nil
		}
	default:
		if !files {
			size = 0
		}
		var err error
		if r.lease, err = pool.Get(r.ctx, mem+min(size, smallBlock)); err != nil {
			return err
		}
	}
	r.block = r.lease.Bytes()[mem:]
	at := 0
	for i := range landings {
		if l := &landings[i]; l.Refuse == nil && l.File == nil && l.Mem == nil {
			end := at + int(r.extents[i].DataLength())
			r.arrivals[i].Mem = r.lease.Bytes()[at:end:end]
			at = end
		}
	}
	return nil
}

// release gives the memory of a chunk back.
func (r *receiver) release() {
	clear(r.arrivals)
	r.block, r.have = nil, nil
	if r.lease != nil {
		r.lease.Release()
		r.lease = nil
	}
}

// extent takes the bytes of one extent. What is wrong with the extent alone goes
// into a; an error returned is one of the stream.
func (r *receiver) extent(a *transport.Arrival, l *transport.Landing) error {
	if l.Refuse != nil {
		a.Code, a.Err = transport.Refused, l.Refuse
	} else if l.Mem != nil {
		return r.place(a, l.Mem)
	}
	hash := r.in.opt.Verify && a.Err == nil
	if hash {
		r.hasher.Reset()
	}
	write := (*os.File).WriteAt
	if !l.Unsynced {
		write = r.in.t.files.WriteAt
	}
	at, mem := a.Offset, a.Mem
	for _, seg := range a.Segments {
		if hash && seg.Offset > at {
			start := time.Now()
			chunkio.WriteZeros(&r.hasher, seg.Offset-at)
			r.in.stats.Hashing.Since(start)
		}
		at = seg.End()
		for off, left := seg.Offset, seg.Length; left > 0; {
			var part []byte
			var err error
			if mem != nil {
				part, err = r.stay(mem[:min(left, int64(len(mem)), block)])
				mem = mem[len(part):]
			} else {
				part, err = r.next(left)
			}
			if err != nil {
				return err
			}
			if hash {
				start := time.Now()
				r.hasher.Write(part)
				r.in.stats.Hashing.Since(start)
			}
			if l.File != nil && a.Err == nil {
				start := time.Now()
				if _, err := write(l.File, part, off); err != nil {
					a.Code, a.Err = transport.Refused, fmt.Errorf("place the extent: %w", err)
					hash = false
				}
				r.in.stats.Placing.Since(start)
			}
			off += int64(len(part))
			left -= int64(len(part))
		}
	}
	if hash {
		if a.End() > at {
			start := time.Now()
			chunkio.WriteZeros(&r.hasher, a.End()-at)
			r.in.stats.Hashing.Since(start)
		}
		a.Digest = r.hasher.Sum128().Bytes()
	}
	return nil
}

// next returns up to most bytes of the body, read through block.
func (r *receiver) next(most int64) ([]byte, error) {
	if len(r.have) == 0 {
		if len(r.block) == 0 { // of a chunk for which none was expected to be needed
			r.block = make([]byte, smallBlock)
		}
		b := r.block[:min(int64(len(r.block)), r.left)]
		if err := r.receive(b); err != nil {
			return nil, err
		}
		r.have = b
	}
	n := min(most, int64(len(r.have)))
	part := r.have[:n]
	r.have = r.have[n:]
	return part, nil
}

// stay reads bytes of the body to where they stay.
func (r *receiver) stay(b []byte) ([]byte, error) {
	n := copy(b, r.have) // read ahead for a file before
	r.have = r.have[n:]
	return b, r.receive(b[n:])
}

// receive reads len(b) bytes of the body from the connection.
func (r *receiver) receive(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	start := time.Now()
	err := r.fill(b)
	r.in.stats.Wiring.Since(start)
	r.took(int64(len(b)))
	return err
}

// took counts bytes of the body.
func (r *receiver) took(n int64) {
	r.left -= n
	r.in.stats.Bytes.Add(n)
	r.in.stats.Copied.Add(n)
}

// trailer reads the frame after the body into seals.
func (r *receiver) trailer() error {
	if err := r.read(wire.PrefixSize); err != nil {
		return err
	}
	p, err := wire.DecodePrefix(r.payload)
	if err != nil {
		return tellError{err}
	}
	if p.Type != wire.TypeTrailer || p.Length != wire.TrailerLength(len(r.seals)) {
		return tellError{fmt.Errorf("%w: frame type %#x of %d bytes where a trailer has to be", wire.ErrBroken, uint16(p.Type), p.Length)}
	}
	if err := r.read(p.Length); err != nil {
		return err
	}
	if err := p.Check(r.payload); err != nil {
		return tellError{err}
	}
	if err := wire.DecodeTrailer(r.payload, r.seq, r.seals); err != nil {
		return tellError{err}
	}
	return nil
}
