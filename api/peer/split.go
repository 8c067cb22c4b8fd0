package peer

import (
	"fmt"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/manifest"
)

// sendToTarget encodes m and gives it to send, in as many messages as it takes.
// Nothing else may be sent in between.
func sendToTarget(m transfer.ToTarget, send func(*peerv1.ToTarget) error) error {
	switch m := m.(type) {
	case *transfer.Entries:
		return pack(m.Entries, manifest.AppendEntry, func(b []byte, n uint32) error {
			return send(&peerv1.ToTarget{Message: &peerv1.ToTarget_Entries{Entries: &peerv1.Entries{Packed: b, Count: n}}})
		})
	case *transfer.Open:
		return sendOpen(m, send)
	case *transfer.EntryDigests:
		if len(m.Digests) > maxDigests {
			return tooLong("digests", m.Entry, len(m.Digests), maxDigests)
		}
		return parts(m.Digests, partDigests, func(part []digest, more bool) error {
			return send(encodeDigests(m.Entry, part, more))
		})
	}
	return send(encodeToTarget(m))
}

// sendToOwner is sendToTarget for the other direction.
func sendToOwner(m transfer.ToOwner, send func(*peerv1.ToOwner) error) error {
	switch m := m.(type) {
	case *transfer.Results:
		return pack(m.Results, manifest.AppendResult, func(b []byte, n uint32) error {
			return send(&peerv1.ToOwner{Message: &peerv1.ToOwner_Results{Results: &peerv1.Results{Packed: b, Count: n}}})
		})
	case *transfer.Answers:
		return sendAnswers(m.Answers, send)
	}
	return send(encodeToOwner(m))
}

// pack gives the encodings of list to send, at least once.
func pack[T any](list []T, encode func([]byte, *T) []byte, send func(packed []byte, count uint32) error) error {
	var b []byte
	var n uint32
	for i := range list {
		before := len(b)
		b = encode(b, &list[i])
		if n > 0 && (len(b) > packBytes || n == packCount) {
			next := append([]byte(nil), b[before:]...)
			if err := send(b[:before], n); err != nil {
				return err
			}
			b, n = next, 0
		}
		n++
	}
	return send(b, n)
}

// parts cuts list into pieces of at most size, at least one.
func parts[T any](list []T, size int, send func(part []T, more bool) error) error {
	for len(list) > size {
		if err := send(list[:size], true); err != nil {
			return err
		}
		list = list[size:]
	}
	return send(list, false)
}

// sendAnswers puts many answers into a message. One that is too long for a
// message has several, and they have no other answer.
func sendAnswers(list []transfer.Answer, send func(*peerv1.ToOwner) error) error {
	first, weight := 0, 0
	flush := func(end int) error {
		some := list[first:end]
		first, weight = end, 0
		if len(some) == 0 {
			return nil
		}
		return send(encodeAnswers(some, false))
	}
	for i := range list {
		a := list[i]
		w := 1 + len(a.Ranges)
		if weight+w > partRanges {
			if err := flush(i); err != nil {
				return err
			}
		}
		weight += w
		if w <= partRanges {
			continue
		}
		if len(a.Ranges) > maxRanges {
			return tooLong("ranges", a.Entry, len(a.Ranges), maxRanges)
		}
		first, weight = i+1, 0
		if err := parts(a.Ranges, partRanges-1, func(part []extent, more bool) error {
			a.Ranges = part
			return send(encodeAnswers([]transfer.Answer{a}, more))
		}); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		return send(encodeAnswers(nil, false))
	}
	return flush(len(list))
}

func tooLong(what string, entry uint64, n, limit int) *transfer.Error {
	return &transfer.Error{
		Reason: transfer.Unsupported, Phase: transfer.PhaseCompare,
		Err:  fmt.Errorf("entry %d has %d %s, and %d can be sent", entry, n, what, limit),
		Hint: "a larger chunk size makes fewer",
	}
}
