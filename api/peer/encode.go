package peer

import (
	"fmt"
	"strings"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/manifest"
	"github.com/xferd/xferd/transport"
)

// Short names.
type (
	digest = transport.Digest
	extent = transport.Range
)

// encodeToTarget encodes what always fits into one message; the rest is
// sendToTarget's. It panics on a type it does not know: that is a mistake of
// this program, never of the peer.
func encodeToTarget(m transfer.ToTarget) *peerv1.ToTarget {
	switch m := m.(type) {
	case *transfer.Open:
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_Open{Open: encodeOpen(m)}}
	case *transfer.EntriesDone:
		p := &peerv1.EntriesDone{Done: make([]*peerv1.EntryDone, len(m.Done))}
		for i, d := range m.Done {
			p.Done[i] = &peerv1.EntryDone{Entry: d.Entry, Digest: encodeDigest(d.Digest)}
		}
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_EntriesDone{EntriesDone: p}}
	case *transfer.EntryRestart:
		p := &peerv1.EntryRestart{Packed: manifest.AppendEntry(nil, &m.Entry)}
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_EntryRestart{EntryRestart: p}}
	case *transfer.EntryGiveUp:
		p := &peerv1.EntryGiveUp{Entry: m.Entry, Err: encodeError(m.Err)}
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_EntryGiveUp{EntryGiveUp: p}}
	case *transfer.ScanDone:
		p := &peerv1.ScanDone{Entries: m.Entries, Failed: m.Failed}
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_ScanDone{ScanDone: p}}
	case *transfer.PrepareData:
		p := &peerv1.PrepareData{Transports: m.Transports, Streams: int32(m.Streams)}
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_PrepareData{PrepareData: p}}
	case *transfer.FenceData:
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_FenceData{FenceData: encodeFence(m)}}
	case *transfer.Finish:
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_Finish{Finish: &peerv1.Finish{}}}
	case *transfer.Abort:
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_Abort{Abort: &peerv1.Abort{End: peerv1.End(m.End)}}}
	case *transfer.Ping:
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_Ping{Ping: &peerv1.Ping{Seq: m.Seq}}}
	case *transfer.DataControl:
		return &peerv1.ToTarget{Message: &peerv1.ToTarget_DataControl{DataControl: encodeDataControl(m)}}
	}
	panic(fmt.Sprintf("peer: no encoding of %T", m))
}

func encodeDataControl(m *transfer.DataControl) *peerv1.DataControl {
	return &peerv1.DataControl{Session: m.Session, Body: m.Body, End: m.End}
}

func encodeOpen(m *transfer.Open) *peerv1.Open {
	o := &m.Options
	p := &peerv1.Open{
		Owner: string(m.Owner), Id: m.ID, Uid: m.UID[:], StateUuid: m.StateUUID, Epoch: m.Epoch,
		Principal: m.Principal, Mode: string(m.Mode), Dest: []byte(m.Dest), DestMode: string(m.DestMode),
		ValidateOnly: m.ValidateOnly, BytesHint: m.BytesHint, EntriesHint: m.EntriesHint,
		Options: &peerv1.Options{
			Preserve: uint32(o.Preserve), Compare: string(o.Compare), Update: o.Update, NoClobber: o.NoClobber,
			Force: o.Force, DryRun: o.DryRun, Delete: o.Delete, MaxDelete: o.MaxDelete,
			ChownUid: o.ChownUID, ChownGid: o.ChownGID, Chmod: o.Chmod, Verify: string(o.Verify),
			Durability: string(o.Durability), ChunkSize: o.ChunkSize, Streams: int32(o.Streams),
			Digest: string(o.Digest), ExpectedDigest: o.Expected, Prepared: o.Prepared,
		},
	}
	for _, s := range m.Sources {
		p.Sources = append(p.Sources, []byte(s))
	}
	p.Again, p.Mark = m.Again, m.Mark
	for _, n := range m.Names {
		p.Names = append(p.Names, []byte(n))
	}
	p.RangeGap, p.RangeLength = encodeRanges(m.Ranges)
	for _, f := range o.Filters {
		p.Options.Filters = append(p.Options.Filters, &peerv1.FilterRule{Include: f.Include, Pattern: []byte(f.Pattern)})
	}
	return p
}

func encodeDigests(entry uint64, part []digest, more bool) *peerv1.ToTarget {
	p := &peerv1.EntryDigests{Entry: entry, Digests: make([]byte, 0, 16*len(part)), More: more}
	for i := range part {
		p.Digests = append(p.Digests, part[i][:]...)
	}
	return &peerv1.ToTarget{Message: &peerv1.ToTarget_EntryDigests{EntryDigests: p}}
}

// encodeToOwner is encodeToTarget for the other direction.
func encodeToOwner(m transfer.ToOwner) *peerv1.ToOwner {
	switch m := m.(type) {
	case *transfer.Opened:
		return &peerv1.ToOwner{Message: &peerv1.ToOwner_Opened{Opened: &peerv1.Opened{
			Node: string(m.Node), Incarnation: m.Incarnation, Credits: m.Credits, Transports: m.Transports,
			ResolvedTo: []byte(m.ResolvedTo), FreeBytes: m.FreeBytes,
			Verify: string(m.Checked.Verify), VerifyReason: string(m.Checked.Reason),
			Digest: string(m.Digest),
		}}}
	case *transfer.Refused:
		return &peerv1.ToOwner{Message: &peerv1.ToOwner_Refused{Refused: &peerv1.Refused{Err: encodeError(m.Err)}}}
	case *transfer.DataReady:
		p := &peerv1.DataReady{Err: encodeError(m.Err), Why: string(m.Why)}
		if m.Err == nil {
			g := &peerv1.Grant{Transport: m.Grant.Transport, Addr: m.Grant.Addr, Incarnation: m.Grant.Incarnation, Params: m.Grant.Params}
			for _, t := range m.Grant.Tokens {
				g.Tokens = append(g.Tokens, t[:])
			}
			p.Grant = g
		}
		return &peerv1.ToOwner{Message: &peerv1.ToOwner_DataReady{DataReady: p}}
	case *transfer.DataFenced:
		return &peerv1.ToOwner{Message: &peerv1.ToOwner_DataFenced{DataFenced: encodeFenced(m)}}
	case *transfer.Finished:
		p := &peerv1.Finished{Deleted: m.Deleted, Err: encodeError(m.Err), Stats: encodeStats(&m.Stats), Verify: string(m.Checked.Verify), VerifyReason: string(m.Checked.Reason), Complete: m.Complete}
		return &peerv1.ToOwner{Message: &peerv1.ToOwner_Finished{Finished: p}}
	case *transfer.Pong:
		return &peerv1.ToOwner{Message: &peerv1.ToOwner_Pong{Pong: &peerv1.Pong{Seq: m.Seq, Waiting: encodeError(m.Waiting)}}}
	case *transfer.DataControl:
		return &peerv1.ToOwner{Message: &peerv1.ToOwner_DataControl{DataControl: encodeDataControl(m)}}
	}
	panic(fmt.Sprintf("peer: no encoding of %T", m))
}

// encodeAnswers sets more at each: there is only one then.
func encodeAnswers(list []transfer.Answer, more bool) *peerv1.ToOwner {
	p := &peerv1.Answers{Answers: make([]*peerv1.Answer, len(list))}
	for i := range list {
		a := &list[i]
		pa := &peerv1.Answer{Entry: a.Entry, Want: peerv1.Want(a.Want), Change: uint32(a.Change), More: more}
		if n := len(a.Ranges); n > 0 {
			all := make([]peerv1.Range, n)
			pa.Ranges = make([]*peerv1.Range, n)
			for k, r := range a.Ranges {
				all[k].Offset, all[k].Length = r.Offset, r.Length
				pa.Ranges[k] = &all[k]
			}
		}
		p.Answers[i] = pa
	}
	return &peerv1.ToOwner{Message: &peerv1.ToOwner_Answers{Answers: p}}
}

func encodeDigest(d digest) []byte {
	if d.IsZero() {
		return nil
	}
	return d[:]
}

func encodeError(e *transfer.Error) *peerv1.Error {
	if e == nil {
		return nil
	}
	p := &peerv1.Error{
		Reason: string(e.Reason), Side: string(e.Side), Phase: string(e.Phase),
		Node: string(e.Node), Path: []byte(e.Path), Hint: text(e.Hint),
	}
	if e.Err != nil {
		p.Message = text(e.Err.Error())
	}
	return p
}

// text makes valid UTF-8 of at most maxText bytes: what is not can not be in a
// string of a message, which would end the stream.
func text(s string) string {
	const bad = "\uFFFD"
	if s = strings.ToValidUTF8(s, bad); len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

func encodeStats(s *transport.Stats) *peerv1.Stats {
	return &peerv1.Stats{
		Streams: int32(s.Streams), Chunks: s.Chunks, Bytes: s.Bytes, SendfileBytes: s.SendfileBytes,
		KernelBytes: s.KernelBytes, ClonedBytes: s.ClonedBytes, CopiedBytes: s.CopiedBytes, Mismatches: s.Mismatches,
		ReadNanos: int64(s.ReadTime), HashNanos: int64(s.HashTime), WireNanos: int64(s.WireTime), PlaceNanos: int64(s.PlaceTime),
		PaceNanos: int64(s.PaceTime),
	}
}
