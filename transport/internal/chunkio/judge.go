package chunkio

import (
	"errors"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/transport"
)

var zeros [64 << 10]byte

// WriteZeros adds n zero bytes to a digest: a hole.
func WriteZeros(h *xxh3.Hasher, n int64) {
	for n > 0 {
		part := min(n, int64(len(zeros)))
		h.Write(zeros[:part])
		n -= part
	}
}

// Digest returns the digest of an extent whose segments lie back to back in mem.
func Digest(h *xxh3.Hasher, e *transport.ExtentHeader, mem []byte) transport.Digest {
	h.Reset()
	at := e.Offset
	for _, s := range e.Segments {
		WriteZeros(h, s.Offset-at)
		h.Write(mem[:s.Length])
		mem, at = mem[s.Length:], s.End()
	}
	WriteZeros(h, e.End()-at)
	return h.Sum128().Bytes()
}

// Judge compares what arrived with what the source says of it. a has its digest,
// where one was computed.
func Judge(a *transport.Arrival, seal *wire.Seal, verify bool) {
	switch {
	case a.Err != nil:
	case seal.State == wire.SourceShort:
		a.Code, a.Err = transport.SourceShort, transport.ErrSourceShort
	case seal.State == wire.SourceBad:
		a.Code, a.Err = transport.SourceFailed, transport.ErrSourceFailed
	case verify && a.Digest != transport.Digest(seal.Digest):
		a.Code, a.Err = transport.Mismatch, transport.ErrMismatch
	default:
		a.Code = transport.Placed
		return
	}
	a.Digest, a.Mem = transport.Digest{}, nil
}

// Answers turns the sink's verdicts into answers for the source.
func Answers(dst []wire.Answer, arrivals []transport.Arrival, verdicts []transport.Verdict) []wire.Answer {
	for i, v := range verdicts {
		if a := &arrivals[i]; a.Err != nil && (v.Code == transport.Placed || v.Code == transport.Unknown) {
			v.Code, v.Err = a.Code, a.Err
		}
		a := wire.Answer{Code: wire.Code(v.Code)}
		if v.Err != nil {
			a.Text = v.Err.Error()
		}
		dst = append(dst, a)
	}
	return dst
}

// Verdicts joins the target's answers with what the source knows of its extents:
// their seals, and why one is not sound. It appends to dst and returns how many
// did not have their digest at the target too.
func Verdicts(dst []transport.Verdict, answers []wire.Answer, seals []wire.Seal, errs []error) (_ []transport.Verdict, mismatches int64) {
	for i, a := range answers {
		v := transport.Verdict{Code: transport.Code(a.Code)}
		switch {
		case seals[i].State == wire.SourceShort:
			v.Code, v.Err = transport.SourceShort, errs[i]
		case seals[i].State == wire.SourceBad:
			v.Code, v.Err = transport.SourceFailed, errs[i]
		case v.Code == transport.Placed:
			v.Digest = seals[i].Digest
		case v.Code == transport.Mismatch:
			v.Err = transport.ErrMismatch
			mismatches++
		case a.Text != "":
			v.Err = errors.New(a.Text)
		case v.Code == transport.Refused:
			v.Err = errors.New("refused by the target")
		}
		dst = append(dst, v)
	}
	return dst, mismatches
}
