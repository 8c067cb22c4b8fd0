package peer

import (
	"fmt"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
)

// The question what landed and its answer are bounded by what one data plane
// has in flight (transfer.MaxAsked: at most 6 MiB), so that neither is split.

func encodeFence(m *transfer.FenceData) *peerv1.FenceData {
	p := &peerv1.FenceData{}
	for _, x := range m.Asked {
		p.Entry = append(p.Entry, x.Entry)
		p.Offset = append(p.Offset, x.Offset)
	}
	return p
}

func decodeFence(p *peerv1.FenceData) (transfer.ToTarget, error) {
	n := len(p.GetEntry())
	if n != len(p.GetOffset()) || n > transfer.MaxAsked {
		return nil, fmt.Errorf("a question for %d entries and %d offsets", n, len(p.GetOffset()))
	}
	m := &transfer.FenceData{Asked: make([]transfer.ExtentID, n)}
	for i := range m.Asked {
		m.Asked[i] = transfer.ExtentID{Entry: p.GetEntry()[i], Offset: p.GetOffset()[i]}
	}
	return m, nil
}

func encodeFenced(m *transfer.DataFenced) *peerv1.DataFenced {
	p := &peerv1.DataFenced{}
	for i := range m.Landed {
		p.Landed = append(p.Landed, m.Landed[i].Asked)
		p.Digests = append(p.Digests, m.Landed[i].Digest[:]...)
	}
	return p
}

func decodeFenced(p *peerv1.DataFenced) (transfer.ToOwner, error) {
	n := len(p.GetLanded())
	if n > transfer.MaxAsked || len(p.GetDigests()) != 16*n {
		return nil, fmt.Errorf("%d extents that landed, and %d bytes of digests", n, len(p.GetDigests()))
	}
	m := &transfer.DataFenced{Landed: make([]transfer.LandedExtent, n)}
	for i := range m.Landed {
		m.Landed[i] = transfer.LandedExtent{Asked: p.GetLanded()[i], Digest: digest(p.GetDigests()[16*i:])}
	}
	return m, nil
}
