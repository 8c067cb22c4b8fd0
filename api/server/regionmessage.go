package server

import (
	"encoding/hex"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/region"
)

// maxTornOut bounds the torn ranges of a region that an answer has.
const maxTornOut = 1000

// regionSpecIn translates what is asked for; the registry checks it.
func regionSpecIn(id string, m *xferv1.Region) (region.Spec, error) {
	s := region.Spec{
		ID: id, Size: m.GetSizeBytes(), HugePages: m.GetPageSize(), Foreign: m.GetForeign(),
		Readers: m.GetReaders(), Writers: m.GetWriters(), Labels: m.GetLabels(),
	}
	if m == nil {
		return s, invalid("region", "it is missing")
	}
	if m.NumaNode != nil {
		n := int(m.GetNumaNode())
		s.NUMANode = &n
	}
	ttl, err := ttlIn("region.ttl", m.GetTtl())
	s.TTL = ttl
	return s, err
}

func ttlIn(field string, d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	// AsDuration saturates, and the registry refuses what is that long.
	if d.CheckValid() != nil || d.AsDuration() <= 0 {
		return 0, invalid(field, "it is not a duration above 0")
	}
	return d.AsDuration(), nil
}

// updatableRegion are the fields that update_mask may name.
var updatableRegion = []string{"labels", "readers", "writers", "ttl"}

func regionChangeIn(req *xferv1.UpdateRegionRequest) (c region.Change, err error) {
	m := req.GetRegion()
	for _, p := range req.GetUpdateMask().GetPaths() {
		if !slices.Contains(updatableRegion, p) {
			return c, invalid("update_mask", "%.100q can not be changed; these can: %v", p, updatableRegion)
		}
		switch p {
		case "labels":
			labels := m.GetLabels()
			c.Labels = &labels
		case "readers":
			readers := m.GetReaders()
			c.Readers = &readers
		case "writers":
			writers := m.GetWriters()
			c.Writers = &writers
		case "ttl":
			ttl, err := ttlIn("region.ttl", m.GetTtl())
			if err != nil {
				return c, err
			}
			c.TTL = &ttl // 0 is the default again
		}
	}
	return c, nil
}

var regionStates = map[region.State]xferv1.RegionState{
	region.Ready:       xferv1.RegionState_REGION_STATE_READY,
	region.Detached:    xferv1.RegionState_REGION_STATE_DETACHED,
	region.Deleting:    xferv1.RegionState_REGION_STATE_DELETING,
	region.Quarantined: xferv1.RegionState_REGION_STATE_QUARANTINED,
}

func regionStateOut(s region.State) xferv1.RegionState { return regionStates[s] }

func (s *Server) regionOut(i *region.Info) *xferv1.Region {
	m := &xferv1.Region{
		Name: "nodes/" + string(s.cfg.Self) + "/regions/" + i.ID, Uid: hex.EncodeToString(i.UID[:]), SizeBytes: i.Size, PageSize: i.HugePages,
		Foreign: i.Foreign, Readers: i.Readers, Writers: i.Writers, Labels: i.Labels, Ttl: durationpb.New(i.TTL),
		Owner: i.Principal, State: regionStateOut(i.State), StateDetail: i.Detail,
		CreateTime: timeOut(i.Created), ExpireTime: timeOut(i.Expires), Generation: i.Generation, OpenWrites: int32(i.OpenWrites),
		Torn: rangesOut(i.Torn[:min(len(i.Torn), maxTornOut)]), TornCount: int64(len(i.Torn)),
		Attached: int32(i.Attached), PinnedBytes: i.Pinned,
	}
	if i.NUMANode != nil {
		n := int32(*i.NUMANode)
		m.NumaNode = &n
	}
	return m
}

func rangesOut(list []region.Range) []*xferv1.RegionRange {
	out := make([]*xferv1.RegionRange, 0, len(list))
	for _, r := range list {
		out = append(out, &xferv1.RegionRange{Offset: r.Offset, Length: r.Length})
	}
	return out
}

func regionEventOut(e *region.Event) *xferv1.WatchRegionResponse {
	m := &xferv1.WatchRegionResponse{Time: timeOut(e.Time), State: regionStateOut(e.State), Generation: e.Generation}
	if e.Kind == region.StateChanged {
		m.Kind = &xferv1.WatchRegionResponse_StateChange{StateChange: &xferv1.RegionStateChange{}}
		return m
	}
	c := &xferv1.RegionCommit{
		Ranges: rangesOut(e.Ranges), RangesInexact: e.More, Bytes: e.Bytes, Transfer: e.Transfer, Principal: e.Principal,
	}
	if e.Digest != ([16]byte{}) {
		c.Digest = e.Digest[:]
	}
	m.Kind = &xferv1.WatchRegionResponse_Commit{Commit: c}
	return m
}
