package manifest

import (
	"encoding/binary"
	"fmt"

	"github.com/xferd/xferd/transfer"
)

// A result is: entry, kind, outcome, change, bytes, lost, path, a byte that
// says whether a digest, an error, a link's target and a digest of the content
// follow, and those, and the generation of a region. The last two come only where
// they were asked for: a node that does not know them asks for none.
const (
	hasDigest = 1 << iota
	hasErr
	hasTarget
	hasContent
	hasGeneration
)

const (
	maxWord = 64   // side and phase
	maxNode = 255  // node id
	maxText = 4096 // cause and hint, cut to that

	allChanges = transfer.ChangeDelete<<1 - 1
	allLost    = transfer.PreserveSpecials<<1 - 1
)

// remoteError is a cause that came as text.
type remoteError string

func (e remoteError) Error() string { return string(e) }

// AppendResult appends the encoding of a result. Texts of its error are cut to
// 4096 bytes, and its cause keeps only the text. It does not check the rest:
// see CheckResult.
func AppendResult(dst []byte, r *transfer.Result) []byte {
	dst = binary.AppendUvarint(dst, r.Entry)
	dst = append(dst, byte(r.Kind), byte(r.Outcome))
	dst = binary.AppendUvarint(dst, uint64(r.Change))
	dst = binary.AppendUvarint(dst, uint64(r.Bytes))
	dst = binary.AppendUvarint(dst, uint64(r.Lost))
	dst = appendString(dst, r.Path)
	var has byte
	if !r.Digest.IsZero() {
		has |= hasDigest
	}
	if r.Err != nil {
		has |= hasErr
	}
	if r.LinkTarget != "" {
		has |= hasTarget
	}
	if r.Content != "" {
		has |= hasContent
	}
	if r.Generation != 0 {
		has |= hasGeneration
	}
	dst = append(dst, has)
	if has&hasDigest != 0 {
		dst = append(dst, r.Digest[:]...)
	}
	if has&hasErr != 0 {
		dst = AppendError(dst, r.Err)
	}
	if has&hasTarget != 0 {
		dst = appendString(dst, r.LinkTarget)
	}
	if has&hasContent != 0 {
		dst = appendString(dst, r.Content)
	}
	if has&hasGeneration != 0 {
		dst = binary.AppendUvarint(dst, r.Generation)
	}
	return dst
}

// DecodeResult decodes and checks the result at the beginning of b, and returns
// what comes after it. The result shares nothing with b.
func DecodeResult(b []byte) (r transfer.Result, rest []byte, err error) {
	d := decoder{b: b}
	r.Entry = d.uvarint()
	r.Kind = transfer.Kind(d.byte())
	r.Outcome = transfer.Outcome(d.byte())
	change := d.uint32()
	r.Change = transfer.Change(change)
	r.Bytes = d.size()
	r.Lost = transfer.Preserve(d.uint32())
	r.Path = d.string(MaxPath)
	has := d.byte()
	if has&^(hasDigest|hasErr|hasTarget|hasContent|hasGeneration) != 0 || change > uint32(allChanges) {
		d.fail("parts")
	}
	if has&hasDigest != 0 {
		if len(d.b) < len(r.Digest) {
			d.fail("it ends early")
		} else {
			d.b = d.b[copy(r.Digest[:], d.b):]
		}
		if r.Digest.IsZero() {
			d.fail("empty part")
		}
	}
	if has&hasErr != 0 && d.err == nil {
		r.Err = decodeError(&d)
	}
	if has&hasTarget != 0 {
		if r.LinkTarget = d.string(MaxPath); r.LinkTarget == "" {
			d.fail("empty part")
		}
	}
	if has&hasContent != 0 {
		if r.Content = d.string(transfer.MaxDigest); r.Content == "" {
			d.fail("empty part")
		}
	}
	if has&hasGeneration != 0 {
		if r.Generation = d.uvarint(); r.Generation == 0 {
			d.fail("empty part")
		}
	}
	if d.err != nil {
		return transfer.Result{}, nil, fmt.Errorf("result: %w", d.err)
	}
	if err := CheckResult(&r); err != nil {
		return transfer.Result{}, nil, err
	}
	return r, d.b, nil
}

// CheckResult reports whether a result can be sent and stored.
func CheckResult(r *transfer.Result) error {
	switch {
	case r.Kind > transfer.KindRegion,
		r.Outcome < transfer.OutcomePublished || r.Outcome > transfer.OutcomeDeleted,
		r.Change&^allChanges != 0, r.Lost&^allLost != 0,
		r.Bytes < 0 || r.Bytes > MaxSize, len(r.Path) > MaxPath, len(r.LinkTarget) > MaxPath, len(r.Content) > transfer.MaxDigest,
		r.Generation != 0 && r.Kind != transfer.KindRegion,
		(r.Err != nil) != (r.Outcome == transfer.OutcomeFailed):
		return fmt.Errorf("%w: result of entry %d is impossible", ErrEntry, r.Entry)
	case r.Err != nil && (!r.Err.Reason.Formed() || len(r.Err.Side) > maxWord ||
		len(r.Err.Phase) > maxWord || len(r.Err.Node) > maxNode || len(r.Err.Path) > MaxPath):
		return fmt.Errorf("%w: error in the result of entry %d is impossible", ErrEntry, r.Entry)
	}
	return nil
}

// AppendError appends the encoding of an error: reason, side, phase, node,
// path, cause and hint. Texts are cut to 4096 bytes.
func AppendError(dst []byte, e *transfer.Error) []byte {
	dst = appendString(dst, string(e.Reason))
	dst = appendString(dst, string(e.Side))
	dst = appendString(dst, string(e.Phase))
	dst = appendString(dst, string(e.Node))
	dst = appendString(dst, e.Path)
	cause := ""
	if e.Err != nil {
		cause = e.Err.Error()
	}
	dst = appendString(dst, cause[:min(len(cause), maxText)])
	return appendString(dst, e.Hint[:min(len(e.Hint), maxText)])
}

// DecodeError decodes the error at the beginning of b. Its cause has the text
// of the original and nothing else of it.
func DecodeError(b []byte) (e *transfer.Error, rest []byte, err error) {
	d := decoder{b: b}
	e = decodeError(&d)
	if d.err != nil {
		return nil, nil, fmt.Errorf("error: %w", d.err)
	}
	return e, d.b, nil
}

func decodeError(d *decoder) *transfer.Error {
	e := &transfer.Error{
		Reason: transfer.Reason(d.string(transfer.MaxReason)),
		Side:   transfer.Side(d.string(maxWord)),
		Phase:  transfer.Phase(d.string(maxWord)),
		Node:   transfer.NodeID(d.string(maxNode)),
		Path:   d.string(MaxPath),
	}
	if cause := d.string(maxText); cause != "" {
		e.Err = remoteError(cause)
	}
	e.Hint = d.string(maxText)
	if d.err == nil && !e.Reason.Formed() {
		d.fail("reason")
	}
	return e
}
