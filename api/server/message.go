package server

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// basicSources is how many sources the basic view shows.
const basicSources = 16

// transferOut translates a transfer; full or for a list.
func transferOut(t *transfer.Transfer, full bool) *xferv1.Transfer {
	m := &xferv1.Transfer{
		Name:                t.Name(),
		Uid:                 t.UID.String(),
		Spec:                specOut(&t.Spec, full),
		SourceCount:         sourceCount(&t.Spec),
		Principal:           text(t.Spec.Principal),
		State:               states.out(t.State),
		Revision:            t.Revision,
		CreateTime:          timeOut(t.Created),
		StartTime:           timeOut(t.Started),
		UpdateTime:          timeOut(t.Updated),
		EndTime:             timeOut(t.Ended),
		Counters:            countersOut(t),
		DataPath:            dataPathOut(&t.Path),
		Error:               errorOut(t.Err),
		RetryOf:             t.RetryOf,
		ResolvedDestination: bytesOut(t.Resolved),
		Digest:              digestOut(t.Digest),
		ContentDigest:       bytesOut(t.Content),
		CancelledBy:         text(t.CancelledBy),
		Posts:               postsOut(t),
	}
	if t.State != transfer.StatePaused && !t.State.Terminal() { // what it waited for is not waited for any more
		m.WaitingReason, m.WaitingDetail, m.NextAttemptTime = string(t.WaitingReason), text(t.WaitingDetail), timeOut(t.NextAttempt)
	}
	if t.Generation != 0 {
		m.Generation = new(t.Generation)
	}
	if full {
		for i := range t.Failures {
			m.Failures = append(m.Failures, resultOut(&t.Failures[i]))
		}
	}
	return m
}

func specOut(s *transfer.Spec, full bool) *xferv1.TransferSpec {
	m := &xferv1.TransferSpec{
		Mode:           modes.out(s.Mode),
		SourceNode:     string(s.Source),
		TargetNode:     string(s.Target),
		Preserve:       &xferv1.Preserve{Properties: propertiesOut(s.Preserve)},
		FollowSymlinks: s.Follow,
		OneFileSystem:  s.OneFS,
		Compare:        compares.out(s.Compare),
		Update:         s.Update,
		NoClobber:      s.NoClobber,
		Force:          s.Force,
		ChownUid:       s.ChownUID,
		ChownGid:       s.ChownGID,
		Chmod:          s.Chmod,
		DryRun:         s.DryRun,
		Delete:         s.Delete,
		MaxDelete:      s.MaxDelete,
		Verify:         verifies.out(s.Verify),
		Prepared:       s.Prepared,
		Digest:         digestKinds.out(s.Digest),
		ExpectedDigest: s.Expected,
		Durability:     durabilities.out(s.Durability),
		Transport:      policies.out(s.Policy),
		Encryption:     encryptions.out(s.Encrypt),
		Streams:        new(int32(s.Streams)),
		ChunkSize:      new(s.ChunkSize),
		Priority:       priorities.out(s.Priority),
		Deadline:       timeOut(s.Deadline),
		Labels:         s.Labels,
	}
	if s.MaxRate > 0 {
		m.MaxBytesPerSecond = new(s.MaxRate)
	}
	src, at, regionCopy := regionCopyOut(s)
	m.Destination = destinationOut(s, at)
	if regionCopy {
		m.Mode, m.Sources = xferv1.Mode_MODE_COPY, []*xferv1.Source{src}
	}
	sources := s.Sources
	if !full {
		sources = sources[:min(len(sources), basicSources)]
	}
	for _, src := range sources {
		m.Sources = append(m.Sources, &xferv1.Source{Source: &xferv1.Source_Path{
			Path: &xferv1.PathSource{Path: []byte(src.Path), Contents: src.Contents},
		}})
	}
	if full {
		if !regionCopy {
			m.Pieces = piecesOut(s.Pieces)
		}
		for _, f := range s.Filters {
			m.Filters = append(m.Filters, &xferv1.FilterRule{Include: f.Include, Pattern: []byte(f.Pattern)})
		}
		for _, f := range s.FilesFrom {
			m.FilesFrom = append(m.FilesFrom, []byte(f))
		}
	}
	return m
}

func piecesOut(pieces []transfer.Piece) *xferv1.Pieces {
	if len(pieces) == 0 {
		return nil
	}
	m := &xferv1.Pieces{}
	index := map[string]uint32{}
	const behind = 1 << 31 // more than there are pieces
	for _, p := range pieces {
		i, ok := index[p.Path]
		id, region := transfer.RegionOf(p.Path)
		switch {
		case ok:
		case region: // they come behind the paths
			i = behind + uint32(len(m.Regions))
			m.Regions = append(m.Regions, id)
		default:
			i = uint32(len(m.Paths))
			m.Paths = append(m.Paths, []byte(p.Path))
		}
		index[p.Path] = i
		m.PathIndex = append(m.PathIndex, i)
		m.Offset = append(m.Offset, p.Offset)
		m.Length = append(m.Length, p.Length)
		m.DestOffset = append(m.DestOffset, p.DestOffset)
	}
	for k, i := range m.PathIndex {
		if i >= behind {
			m.PathIndex[k] = i - behind + uint32(len(m.Paths))
		}
	}
	return m
}

func sourceCount(s *transfer.Spec) int32 {
	if _, _, ok := regionCopyOut(s); ok {
		return 1
	}
	return int32(len(s.Sources))
}

func countersOut(t *transfer.Transfer) *xferv1.Counters {
	c := &t.Counters
	m := &xferv1.Counters{
		EntriesFound: c.EntriesFound, TotalKnown: c.ScanDone,
		FilesTotal: c.FilesTotal, BytesTotal: c.BytesTotal,
		FilesCopied: c.FilesCopied, FilesSame: c.FilesSame, FilesSkipped: c.FilesSkipped, FilesFailed: c.FilesFailed,
		DirsMade: c.DirsMade, LinksMade: c.LinksMade, SpecialsSkipped: c.SpecialSkipped,
		EntriesFailed: c.EntriesFailed, EntriesLost: c.EntriesLost, Deleted: c.Deleted,
		BytesDone: c.BytesDone, BytesMoved: c.BytesMoved,
		Mismatches: c.Mismatches, Restarts: c.Restarts, Attempts: c.Attempts,
	}
	if t.Spec.DryRun {
		m.BytesToMove = new(c.BytesToMove)
	}
	return m
}

func dataPathOut(p *transfer.Path) *xferv1.DataPath {
	if p.Transport == "" {
		return nil
	}
	m := &xferv1.DataPath{
		Transport: p.Transport, Reason: string(p.Reason), Verify: p.Verify, VerifyReason: string(p.VerifyReason), Bottleneck: p.Bottleneck,
		Source: statsOut(&p.Source), Target: statsOut(&p.Target),
	}
	for _, f := range p.Fallbacks {
		m.Fallbacks = append(m.Fallbacks, &xferv1.Fallback{
			Time: timeOut(f.Time), From: f.From, To: f.To, Reason: string(f.Reason), Detail: text(f.Detail),
		})
	}
	return m
}

func statsOut(s *transport.Stats) *xferv1.DataStats {
	return &xferv1.DataStats{
		Streams: int32(s.Streams), Chunks: s.Chunks, Bytes: s.Bytes,
		SendfileBytes: s.SendfileBytes, KernelBytes: s.KernelBytes, ClonedBytes: s.ClonedBytes, CopiedBytes: s.CopiedBytes,
		Mismatches: s.Mismatches,
		ReadTime:   durationpb.New(s.ReadTime), HashTime: durationpb.New(s.HashTime),
		WireTime: durationpb.New(s.WireTime), PlaceTime: durationpb.New(s.PlaceTime), PaceTime: durationpb.New(s.PaceTime),
	}
}

func resultOut(r *transfer.Result) *xferv1.EntryResult {
	m := &xferv1.EntryResult{
		Entry: r.Entry, Path: bytesOut(r.Path), Kind: kinds.out(r.Kind), Outcome: outcomes.out(r.Outcome),
		Changes: changesOut(r.Change), Bytes: r.Bytes, Digest: digestOut(r.Digest), Lost: propertiesOut(r.Lost),
		Error: errorOut(r.Err), LinkTarget: bytesOut(r.LinkTarget), ContentDigest: bytesOut(r.Content),
	}
	if r.Generation != 0 {
		m.Generation = new(r.Generation)
	}
	return m
}

func errorOut(e *transfer.Error) *xferv1.Error {
	if e == nil {
		return nil
	}
	m := &xferv1.Error{
		Reason: string(e.Reason), Side: string(e.Side), Phase: string(e.Phase), Node: string(e.Node),
		Path: bytesOut(e.Path), Hint: text(e.Hint),
	}
	if e.Err != nil {
		m.Message = text(e.Err.Error())
	}
	return m
}

func planOut(p *transfer.Plan) *xferv1.Plan {
	return &xferv1.Plan{
		Transport: p.Transport, Reason: p.Reason, ResolvedDestination: bytesOut(p.Resolved),
		FreeBytes: p.FreeBytes, Streams: int32(p.Streams), Verify: p.Verify,
	}
}

func nodeOut(n *Node) *xferv1.Node {
	m := &xferv1.Node{
		Name: "nodes/" + string(n.ID), State: nodeStates.out(n.State),
		Draining: n.Draining, Insecure: n.Insecure, Duplicate: n.Duplicate,
		Version: text(n.Version), ControlAddress: text(n.ControlAddr), DataAddress: text(n.DataAddr),
		ChangeTime: timeOut(n.Since), StartTime: timeOut(n.Started), LastSeenTime: timeOut(n.LastSeen),
	}
	for k, v := range n.Labels {
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		m.Labels[text(k)] = text(v)
	}
	for _, t := range n.Transports {
		m.Transports = append(m.Transports, &xferv1.NodeTransport{Name: t.Name, Usable: t.Usable, Reason: t.Reason, Detail: text(t.Detail)})
	}
	return m
}

// text makes a string fit into a message: a string that is not UTF-8 would fail
// the whole answer.
func text(s string) string { return transfer.EscapePath(s) }

func bytesOut(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func digestOut(d transport.Digest) []byte {
	if d.IsZero() {
		return nil
	}
	return d[:]
}

func timeOut(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
