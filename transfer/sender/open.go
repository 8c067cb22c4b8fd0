package sender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/scan"
)

// openTimeout bounds how long the target may take to open an edge; it may have
// to wait for the end of the attempt before.
const openTimeout = 30 * time.Second

// open is the first message of a job.
func (job *Job) open() *transfer.Open {
	s := &job.Spec
	m := &transfer.Open{
		Owner: s.Source, ID: job.ID, UID: job.UID, StateUUID: job.StateUUID, Epoch: job.Epoch, Principal: s.Principal,
		Mode: s.Mode, Dest: s.Dest, DestMode: s.DestMode, Names: s.Names(), Again: true,
		Options: transfer.Options{
			Preserve: s.Preserve, Compare: s.Compare, Update: s.Update, NoClobber: s.NoClobber, Force: s.Force,
			DryRun: s.DryRun, Delete: s.Delete, MaxDelete: s.MaxDelete, Filters: s.Filters,
			ChownUID: s.ChownUID, ChownGID: s.ChownGID, Chmod: s.Chmod, Verify: s.Verify, Durability: s.Durability,
			ChunkSize: s.ChunkSize, Streams: s.Streams, Digest: s.Digest, Expected: s.Expected,
			Prepared: s.Prepared,
		},
	}
	if s.Mode == transfer.ModeVerify {
		// What only the destination has is told as what a sync would delete. What was
		// not named is not looked for.
		m.Options.DryRun, m.Options.Delete = true, len(s.FilesFrom) == 0
	}
	if m.Options.ChunkSize == 0 {
		m.Options.ChunkSize = transfer.DefaultChunkSize
	}
	if m.Options.Streams == 0 {
		m.Options.Streams = transfer.DefaultStreams
	}
	for _, src := range s.Sources {
		m.Sources = append(m.Sources, src.Path)
	}
	seen := make(map[string]bool)
	for _, p := range s.Pieces {
		if !seen[p.Path] {
			seen[p.Path] = true
			m.Sources = append(m.Sources, p.Path)
		}
	}
	return m
}

// ask sends the first message and waits for the answer.
func ask(ctx context.Context, job *Job, link transfer.TargetLink, m *transfer.Open) (*transfer.Opened, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := link.Send(ctx, m); err != nil {
		return nil, lost(job, transfer.PhaseConnect, err)
	}
	for {
		answer, err := link.Recv(ctx)
		if err != nil {
			return nil, lost(job, transfer.PhaseConnect, err)
		}
		switch a := answer.(type) {
		case *transfer.Opened:
			return a, nil
		case *transfer.Refused:
			return nil, refusal(job, a)
		case *transfer.Pong:
		default:
			return nil, broken(job, "unexpected %T as the first answer", a)
		}
	}
}

// Validate asks the target whether it would open the edge, and changes nothing.
func Validate(ctx context.Context, cfg Config, job Job, link transfer.TargetLink) (transfer.Plan, error) {
	dirs := scan.NewDirs(0)
	defer dirs.Close()
	ready, err := cfg.prepare(&job, dirs)
	if err != nil {
		return transfer.Plan{}, err
	}
	defer ready.sources.Close() // they were only looked at
	m := job.openWith(ready.layout)
	m.ValidateOnly = true
	opened, err := ask(ctx, &job, link, m)
	if err != nil {
		return transfer.Plan{}, err
	}
	if terr := job.digests(opened); terr != nil {
		return transfer.Plan{}, terr
	}
	c, terr := cfg.choose(&job, opened.Transports)
	if terr != nil {
		return transfer.Plan{}, terr
	}
	return transfer.Plan{
		Transport: c.names[0], Reason: string(c.why), Resolved: opened.ResolvedTo, FreeBytes: opened.FreeBytes,
		Streams: m.Options.Streams, Verify: string(cmp.Or(opened.Checked.Verify, job.Spec.Verify)),
	}, nil
}

// digests refuses a target that does not compute the digest that was asked for.
func (job *Job) digests(m *transfer.Opened) *transfer.Error {
	if m.Digest == job.Spec.Digest {
		return nil
	}
	return &transfer.Error{
		Reason: transfer.Unsupported, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: job.Spec.Target,
		Err: fmt.Errorf("it does not compute %s digests of files", job.Spec.Digest), Hint: "bring the node to the version of this one, or ask for no digest",
	}
}

// Release opens an edge only to end it, so that a target on which no attempt
// runs gives up the destination as end says.
func Release(ctx context.Context, job Job, link transfer.TargetLink, end transfer.End) error {
	if _, err := ask(ctx, &job, link, job.open()); err != nil {
		return err
	}
	if err := link.Send(ctx, &transfer.Abort{End: end}); err != nil {
		return lost(&job, transfer.PhaseFinish, err)
	}
	for {
		m, err := link.Recv(ctx)
		if err != nil {
			return lost(&job, transfer.PhaseFinish, err)
		}
		switch m := m.(type) {
		case *transfer.Finished:
			return nil
		case *transfer.Refused:
			return refusal(&job, m)
		}
	}
}

// lost is the error of a control stream that ended.
func lost(job *Job, phase transfer.Phase, err error) *transfer.Error {
	if e, ok := errors.AsType[*transfer.Error](err); ok {
		return e
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
		err = errors.New("the target ended the control stream")
	}
	return &transfer.Error{Reason: transfer.PeerLost, Side: transfer.SideTarget, Phase: phase, Node: job.Spec.Target, Err: err}
}

func refusal(job *Job, m *transfer.Refused) *transfer.Error {
	if m.Err != nil {
		return m.Err
	}
	return broken(job, "a refusal without a reason")
}

// broken is the error of a target that does not keep to the protocol.
func broken(job *Job, format string, args ...any) *transfer.Error {
	return &transfer.Error{
		Reason: transfer.ProtocolError, Side: transfer.SideTarget, Phase: transfer.PhaseMove, Node: job.Spec.Target,
		Err: fmt.Errorf(format, args...),
	}
}
