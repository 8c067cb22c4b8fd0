package peer

import (
	"fmt"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
)

// sendOpen cuts the ranges of a first message into parts.
func sendOpen(m *transfer.Open, send func(*peerv1.ToTarget) error) error {
	if len(m.Ranges) > transfer.MaxPlaces {
		return &transfer.Error{
			Reason: transfer.Unsupported, Phase: transfer.PhaseConnect,
			Err: fmt.Errorf("%d ranges of a region, and %d can be sent", len(m.Ranges), transfer.MaxPlaces),
		}
	}
	first := *m
	first.Ranges = m.Ranges[:min(len(m.Ranges), partRanges)]
	p := encodeOpen(&first)
	rest := m.Ranges[len(first.Ranges):]
	p.MoreRanges = len(rest) > 0
	if err := send(&peerv1.ToTarget{Message: &peerv1.ToTarget_Open{Open: p}}); err != nil || !p.MoreRanges {
		return err
	}
	return parts(rest, partRanges, func(part []extent, more bool) error {
		p := &peerv1.Open{MoreRanges: more}
		p.RangeGap, p.RangeLength = encodeRanges(part)
		return send(&peerv1.ToTarget{Message: &peerv1.ToTarget_Open{Open: p}})
	})
}

// encodeRanges makes columns of ranges. Small numbers take few bytes, so neighbours
// are told by the gap between them. It loses nothing of ranges that are wrong: who
// receives them checks them.
func encodeRanges(list []extent) (gap, length []int64) {
	if len(list) == 0 {
		return nil, nil
	}
	gap, length = make([]int64, len(list)), make([]int64, len(list))
	var end int64
	for i, r := range list {
		gap[i], length[i] = r.Offset-end, r.Length
		end = r.Offset + r.Length
	}
	return gap, length
}

func decodeRanges(p *peerv1.Open) ([]extent, error) {
	gap, length := p.GetRangeGap(), p.GetRangeLength()
	if len(gap) != len(length) || len(gap) > transfer.MaxPlaces {
		return nil, fmt.Errorf("%d gaps and %d lengths of ranges", len(gap), len(length))
	}
	if len(gap) == 0 {
		return nil, nil
	}
	list := make([]extent, len(gap))
	var end int64
	for i := range list {
		list[i] = extent{Offset: end + gap[i], Length: length[i]}
		end = list[i].Offset + list[i].Length
	}
	return list, nil
}
