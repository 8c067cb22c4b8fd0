package peer

import (
	"errors"
	"fmt"
	"strings"
	"time"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/manifest"
	"github.com/xferd/xferd/transport"
)

func decodeToTarget(p *peerv1.ToTarget) (transfer.ToTarget, error) {
	switch m := p.GetMessage().(type) {
	case *peerv1.ToTarget_Open:
		return decodeOpen(m.Open)
	case *peerv1.ToTarget_Entries:
		// Who receives it checks each entry, and refuses a bad one alone.
		list, err := unpack(m.Entries.GetPacked(), m.Entries.GetCount(), manifest.DecodeUnchecked)
		if err != nil {
			return nil, fmt.Errorf("entries: %w", err)
		}
		return &transfer.Entries{Entries: list}, nil
	case *peerv1.ToTarget_EntriesDone:
		out := &transfer.EntriesDone{Done: make([]transfer.EntryDone, len(m.EntriesDone.GetDone()))}
		for i, d := range m.EntriesDone.GetDone() {
			digest, err := decodeDigest(d.GetDigest())
			if err != nil {
				return nil, err
			}
			out.Done[i] = transfer.EntryDone{Entry: d.GetEntry(), Digest: digest}
		}
		return out, nil
	case *peerv1.ToTarget_EntryDigests:
		b := m.EntryDigests.GetDigests()
		if len(b)%16 != 0 {
			return nil, errors.New("digests are not a multiple of 16 bytes")
		}
		out := &transfer.EntryDigests{Entry: m.EntryDigests.GetEntry(), Digests: make([]transport.Digest, len(b)/16)}
		for i := range out.Digests {
			copy(out.Digests[i][:], b[16*i:])
		}
		return out, nil
	case *peerv1.ToTarget_EntryRestart:
		e, rest, err := manifest.DecodeEntry(m.EntryRestart.GetPacked())
		if err != nil {
			return nil, fmt.Errorf("entry: %w", err)
		}
		if len(rest) > 0 {
			return nil, leftOver(rest)
		}
		return &transfer.EntryRestart{Entry: e}, nil
	case *peerv1.ToTarget_EntryGiveUp:
		e := decodeError(m.EntryGiveUp.GetErr())
		if e == nil {
			return nil, errors.New("an entry is given up without a reason")
		}
		return &transfer.EntryGiveUp{Entry: m.EntryGiveUp.GetEntry(), Err: e}, nil
	case *peerv1.ToTarget_ScanDone:
		return &transfer.ScanDone{Entries: m.ScanDone.GetEntries(), Failed: m.ScanDone.GetFailed()}, nil
	case *peerv1.ToTarget_PrepareData:
		return &transfer.PrepareData{Transports: m.PrepareData.GetTransports(), Streams: int(m.PrepareData.GetStreams())}, nil
	case *peerv1.ToTarget_FenceData:
		return decodeFence(m.FenceData)
	case *peerv1.ToTarget_Finish:
		return &transfer.Finish{}, nil
	case *peerv1.ToTarget_Abort:
		end := m.Abort.GetEnd() // compared before it is cut to eight bits
		if end < peerv1.End(transfer.EndPause) || end > peerv1.End(transfer.EndPurge) {
			return nil, fmt.Errorf("abort of unknown kind %d", end)
		}
		return &transfer.Abort{End: transfer.End(end)}, nil
	case *peerv1.ToTarget_Ping:
		return &transfer.Ping{Seq: m.Ping.GetSeq()}, nil
	case *peerv1.ToTarget_DataControl:
		return decodeDataControl(m.DataControl)
	}
	return nil, fmt.Errorf("unknown message %T", p.GetMessage())
}

func decodeDataControl(p *peerv1.DataControl) (*transfer.DataControl, error) {
	switch n := len(p.GetBody()); {
	case p.GetSession() == 0:
		return nil, errors.New("a message of session 0 of the data plane")
	case n > transport.MaxControl:
		return nil, fmt.Errorf("a message of the data plane of %d bytes", n)
	case n > 0 && p.GetEnd():
		return nil, errors.New("the end of a session of the data plane says something")
	}
	return &transfer.DataControl{Session: p.GetSession(), Body: p.GetBody(), End: p.GetEnd()}, nil
}

func decodeOpen(p *peerv1.Open) (*transfer.Open, error) {
	o := p.GetOptions()
	m := &transfer.Open{
		Owner: transfer.NodeID(p.GetOwner()), ID: p.GetId(), StateUUID: p.GetStateUuid(), Epoch: p.GetEpoch(),
		Principal: p.GetPrincipal(), Mode: transfer.Mode(p.GetMode()), Dest: string(p.GetDest()),
		DestMode: transfer.DestMode(p.GetDestMode()), ValidateOnly: p.GetValidateOnly(),
		BytesHint: p.GetBytesHint(), EntriesHint: p.GetEntriesHint(),
		Options: transfer.Options{
			Preserve: transfer.Preserve(o.GetPreserve()), Compare: transfer.Compare(o.GetCompare()),
			Update: o.GetUpdate(), NoClobber: o.GetNoClobber(), Force: o.GetForce(), DryRun: o.GetDryRun(),
			Delete: o.GetDelete(), Chmod: o.GetChmod(), Verify: transfer.Verify(o.GetVerify()),
			Durability: transfer.Durability(o.GetDurability()), ChunkSize: o.GetChunkSize(), Streams: int(o.GetStreams()),
			Digest: transfer.DigestKind(o.GetDigest()), Expected: o.GetExpectedDigest(), Prepared: o.GetPrepared(),
		},
	}
	if o != nil {
		m.Options.MaxDelete, m.Options.ChownUID, m.Options.ChownGID = o.MaxDelete, o.ChownUid, o.ChownGid
	}
	if len(p.GetUid()) != len(m.UID) {
		return nil, fmt.Errorf("uid of %d bytes", len(p.GetUid()))
	}
	copy(m.UID[:], p.GetUid())
	for _, s := range p.GetSources() {
		m.Sources = append(m.Sources, string(s))
	}
	m.Again, m.Mark = p.GetAgain(), p.GetMark()
	for _, n := range p.GetNames() {
		m.Names = append(m.Names, string(n))
	}
	var err error
	if m.Ranges, err = decodeRanges(p); err != nil {
		return nil, err
	}
	for _, f := range o.GetFilters() {
		m.Options.Filters = append(m.Options.Filters, transfer.FilterRule{Include: f.GetInclude(), Pattern: string(f.GetPattern())})
	}
	return m, nil
}

func decodeToOwner(p *peerv1.ToOwner) (transfer.ToOwner, error) {
	switch m := p.GetMessage().(type) {
	case *peerv1.ToOwner_Opened:
		o := m.Opened
		return &transfer.Opened{
			Node: transfer.NodeID(o.GetNode()), Incarnation: o.GetIncarnation(), Credits: o.GetCredits(),
			Transports: o.GetTransports(), ResolvedTo: string(o.GetResolvedTo()), FreeBytes: o.GetFreeBytes(),
			Checked: decodeChecked(o), Digest: transfer.DigestKind(o.GetDigest()),
		}, nil
	case *peerv1.ToOwner_Refused:
		e := decodeError(m.Refused.GetErr())
		if e == nil {
			return nil, errors.New("refused without a reason")
		}
		return &transfer.Refused{Err: e}, nil
	case *peerv1.ToOwner_DataReady:
		out := &transfer.DataReady{Err: decodeError(m.DataReady.GetErr()), Why: transport.Reason(m.DataReady.GetWhy())}
		if out.Err != nil {
			return out, nil
		}
		g := m.DataReady.GetGrant()
		if g == nil {
			return nil, errors.New("no data plane, and no reason")
		}
		out.Grant = transport.Grant{Transport: g.GetTransport(), Addr: g.GetAddr(), Incarnation: g.GetIncarnation(), Params: g.GetParams()}
		for _, t := range g.GetTokens() {
			if len(t) != 32 {
				return nil, fmt.Errorf("token of %d bytes", len(t))
			}
			out.Grant.Tokens = append(out.Grant.Tokens, [32]byte(t))
		}
		return out, nil
	case *peerv1.ToOwner_DataFenced:
		return decodeFenced(m.DataFenced)
	case *peerv1.ToOwner_Answers:
		out := &transfer.Answers{Answers: make([]transfer.Answer, len(m.Answers.GetAnswers()))}
		for i, a := range m.Answers.GetAnswers() {
			w := a.GetWant()
			if w < peerv1.Want(transfer.WantAll) || w > peerv1.Want(transfer.WantAgain) {
				return nil, fmt.Errorf("answer of unknown kind %d", w)
			}
			out.Answers[i] = transfer.Answer{Entry: a.GetEntry(), Want: transfer.Want(w), Change: transfer.Change(a.GetChange())}
			for _, r := range a.GetRanges() {
				out.Answers[i].Ranges = append(out.Answers[i].Ranges, transport.Range{Offset: r.GetOffset(), Length: r.GetLength()})
			}
		}
		return out, nil
	case *peerv1.ToOwner_Results:
		list, err := unpack(m.Results.GetPacked(), m.Results.GetCount(), manifest.DecodeResult)
		if err != nil {
			return nil, fmt.Errorf("results: %w", err)
		}
		return &transfer.Results{Results: list}, nil
	case *peerv1.ToOwner_Finished:
		f := m.Finished
		return &transfer.Finished{Deleted: f.GetDeleted(), Err: decodeError(f.GetErr()), Stats: decodeStats(f.GetStats()), Checked: decodeChecked(f), Complete: f.GetComplete()}, nil
	case *peerv1.ToOwner_Pong:
		return &transfer.Pong{Seq: m.Pong.GetSeq(), Waiting: decodeError(m.Pong.GetWaiting())}, nil
	case *peerv1.ToOwner_DataControl:
		return decodeDataControl(m.DataControl)
	}
	return nil, fmt.Errorf("unknown message %T", p.GetMessage())
}

// unpack decodes count things that take all of b.
func unpack[T any](b []byte, count uint32, decode func([]byte) (T, []byte, error)) ([]T, error) {
	// Each takes a byte at least: no count makes us allocate much more than what
	// came.
	if count > packCount || int(count) > len(b) {
		return nil, fmt.Errorf("%d in %d bytes", count, len(b))
	}
	list := make([]T, count)
	var err error
	for i := range list {
		if list[i], b, err = decode(b); err != nil {
			return nil, err
		}
	}
	if len(b) > 0 {
		return nil, leftOver(b)
	}
	return list, nil
}

func leftOver(b []byte) error { return fmt.Errorf("%d bytes are left over", len(b)) }

func decodeDigest(b []byte) (d transport.Digest, err error) {
	switch len(b) {
	case 0:
	case len(d):
		copy(d[:], b)
	default:
		err = fmt.Errorf("digest of %d bytes", len(b))
	}
	return d, err
}

func decodeError(p *peerv1.Error) *transfer.Error {
	if p == nil {
		return nil
	}
	e := &transfer.Error{
		Reason: transfer.Reason(p.GetReason()), Side: transfer.Side(word(p.GetSide())), Phase: transfer.Phase(word(p.GetPhase())),
		Node: transfer.NodeID(word(p.GetNode())), Path: string(p.GetPath()[:min(len(p.GetPath()), manifest.MaxPath)]), Hint: text(p.GetHint()),
	}
	if !e.Reason.Formed() {
		e.Reason = transfer.Internal
	}
	if p.GetMessage() != "" {
		e.Err = errors.New(text(p.GetMessage()))
	}
	return e
}

// decodeChecked takes what a peer says of how it verifies.
func decodeChecked(p interface {
	GetVerify() string
	GetVerifyReason() string
}) transfer.Checked {
	return transfer.Checked{Verify: transfer.Verify(word(p.GetVerify())), Reason: transfer.VerifyReason(word(p.GetVerifyReason()))}
}

func word(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxWord)], "") }

func decodeStats(p *peerv1.Stats) transport.Stats {
	return transport.Stats{
		Streams: int(p.GetStreams()), Chunks: p.GetChunks(), Bytes: p.GetBytes(), SendfileBytes: p.GetSendfileBytes(),
		KernelBytes: p.GetKernelBytes(), ClonedBytes: p.GetClonedBytes(), CopiedBytes: p.GetCopiedBytes(), Mismatches: p.GetMismatches(),
		ReadTime: time.Duration(p.GetReadNanos()), HashTime: time.Duration(p.GetHashNanos()),
		WireTime: time.Duration(p.GetWireNanos()), PlaceTime: time.Duration(p.GetPlaceNanos()),
		PaceTime: time.Duration(p.GetPaceNanos()),
	}
}
