package memory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// credits are more than the one entry needs.
const credits = 16

// checkOpen validates what an owner asks for and fills the zero values in.
func checkOpen(m *transfer.Open) (*transfer.Layout, error) {
	o := &m.Options
	id, ok := transfer.RegionOf(m.Dest)
	switch {
	case !ok || !transfer.CheckRegionID(id):
		return nil, fmt.Errorf("%.200q names no region", m.Dest)
	case m.Mode != transfer.ModeAssemble:
		return nil, fmt.Errorf("mode %q into a region", m.Mode)
	case m.DestMode != transfer.DestExact:
		return nil, fmt.Errorf("destination mode %q of a region", m.DestMode)
	case m.UID == transfer.UID{} || m.Epoch == 0:
		return nil, errors.New("no uid or epoch")
	case m.Owner == "" || m.ID == "" || m.StateUUID == "":
		return nil, errors.New("no owner, id or state uuid")
	case o.Prepared && (len(m.Ranges) == 0 || o.DryRun || o.Digest != ""):
		return nil, errors.New("a prepared transfer without ranges, or with a dry run or a digest")
	case m.Principal == "": // to the registry that is who may do everything
		return nil, errors.New("nobody asks for it")
	case o.Digest != "" && o.Digest.Size() == 0:
		return nil, fmt.Errorf("unknown digest %q", o.Digest)
	case len(o.Expected) > 0 && len(o.Expected) != o.Digest.Size():
		return nil, fmt.Errorf("a digest of %d bytes is expected, and %q has %d", len(o.Expected), o.Digest, o.Digest.Size())
	}
	if o.ChunkSize == 0 {
		o.ChunkSize = transfer.DefaultChunkSize
	}
	if o.ChunkSize < transfer.MinChunkSize || o.ChunkSize > transfer.MaxChunkSize || o.ChunkSize&(o.ChunkSize-1) != 0 {
		return nil, fmt.Errorf("chunk size %d is not a power of two between %d and %d", o.ChunkSize, transfer.MinChunkSize, transfer.MaxChunkSize)
	}
	if o.Streams == 0 {
		o.Streams = transfer.DefaultStreams
	}
	if o.Streams < 0 || o.Streams > transfer.MaxStreams {
		return nil, fmt.Errorf("%d streams: 1 to %d are allowed", o.Streams, transfer.MaxStreams)
	}
	switch o.Verify {
	case "":
		o.Verify = transfer.VerifyWire
	case transfer.VerifyNone, transfer.VerifyWire, transfer.VerifyStore, transfer.VerifyMedia:
	default:
		return nil, fmt.Errorf("unknown verification %q", o.Verify)
	}
	return transfer.NewLayout(m.Ranges)
}

// open authorises, and opens the ranges. With ValidateOnly it returns no edge. A
// refusal left nothing behind.
func (t *Target) open(ctx context.Context, cancel context.CancelCauseFunc, p Peer, m *transfer.Open) (*edge, *transfer.Opened, *transfer.Error) {
	if p.Node != "" && m.Owner != p.Node {
		return nil, nil, t.refuse(transfer.PermissionDenied, m.Dest, fmt.Errorf("node %s speaks for %s", p.Node, m.Owner))
	}
	layout, err := checkOpen(m)
	if err != nil {
		return nil, nil, t.refuse(transfer.InvalidSpec, m.Dest, err)
	}
	if m.Options.Verify == transfer.VerifyMedia {
		return nil, nil, t.refuse(transfer.Unsupported, m.Dest, errors.New("a region is on no device to read back from: verify store reads its memory"))
	}
	leave, err := t.opening.enter(ctx, m.UID)
	if err != nil {
		return nil, nil, t.refuse(transfer.RegionBusy, m.Dest, fmt.Errorf("another attempt is being opened: %w", err))
	}
	defer leave()
	running, known, terr := t.checkEpoch(m)
	if terr != nil {
		return nil, nil, terr
	}
	if t.cfg.Draining != nil && t.cfg.Draining() && !known {
		terr := t.refuse(transfer.NodeDraining, m.Dest, errors.New("the node takes no new transfers"))
		terr.Hint = "choose another node, or undo it: xferctl nodes undrain " + string(t.cfg.Node)
		return nil, nil, terr
	}
	if running != nil {
		running.cancel(errSuperseded)
		select {
		case <-running.over:
		case <-ctx.Done():
			return nil, nil, t.refuse(transfer.RegionBusy, m.Dest, fmt.Errorf("the attempt before this one has not ended: %w", context.Cause(ctx)))
		}
	}
	w, terr := t.write(ctx, m)
	if terr != nil {
		return nil, nil, terr
	}
	opened := &transfer.Opened{
		Node: t.cfg.Node, Incarnation: t.cfg.Incarnation, Credits: credits,
		Transports: t.transports(p), ResolvedTo: m.Dest, Digest: m.Options.Digest,
	}
	if w != nil && (m.ValidateOnly || m.Options.DryRun) {
		if err := w.Close(); err != nil {
			return nil, nil, t.refuse(transfer.Internal, m.Dest, fmt.Errorf("give the ranges up: %w", err))
		}
		w = nil
	}
	if m.ValidateOnly {
		return nil, opened, nil
	}
	e := &edge{
		t: t, peer: p, m: m, layout: layout, w: w, since: time.Now(), ctx: ctx, cancel: cancel, over: make(chan struct{}),
		log: t.log.With("transfer", transfer.Name(m.Owner, m.ID), "uid", m.UID.String(), "epoch", m.Epoch),
	}
	e.busy, e.rest = context.WithCancel(ctx)
	e.entry.init(layout.Size(), m.Options.ChunkSize)
	if m.Options.Prepared {
		e.entry.prepared, e.entry.phase = true, phaseWanted
	}
	t.mu.Lock()
	t.epochs.Open(epochKey(m), m.Epoch)
	t.edges[m.UID] = e
	t.mu.Unlock()
	return e, opened, nil
}

// write opens the ranges; nil where there are none.
func (t *Target) write(ctx context.Context, m *transfer.Open) (Writing, *transfer.Error) {
	if len(m.Ranges) == 0 {
		return nil, nil
	}
	id, _ := transfer.RegionOf(m.Dest)
	w, err := t.cfg.Regions.Write(ctx, Request{Principal: m.Principal, ID: id, Ranges: m.Ranges, Transfer: transfer.Name(m.Owner, m.ID)})
	if err == nil {
		return w, nil
	}
	if terr, ok := errors.AsType[*transfer.Error](err); ok {
		return nil, terr
	}
	return nil, t.refuse(transfer.Internal, m.Dest, err)
}

// checkEpoch refuses an attempt that was overtaken. It returns the edge that this one
// overtakes, and whether there was an attempt of the transfer before.
func (t *Target) checkEpoch(m *transfer.Open) (running *edge, known bool, terr *transfer.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	running = t.edges[m.UID]
	known = !t.epochs.Newest(epochKey(m), 0)
	if m.ValidateOnly {
		return nil, known, nil
	}
	if !t.epochs.Newest(epochKey(m), m.Epoch-1) {
		return nil, known, t.refuse(transfer.StaleEpoch, m.Dest, fmt.Errorf("epoch %d is not newer than the latest one", m.Epoch))
	}
	return running, known, nil
}

// forget takes an edge out that can touch nothing any more; from then on the next
// attempt may be opened.
func (t *Target) forget(e *edge) {
	t.mu.Lock()
	t.epochs.Close(epochKey(e.m))
	if t.edges[e.m.UID] == e {
		delete(t.edges, e.m.UID)
	}
	t.mu.Unlock()
	close(e.over)
}

func (t *Target) transports(p Peer) []string {
	var list []string
	for _, name := range t.cfg.Order {
		if t.cfg.Acceptors[name] != nil && (name != transport.Local || p.SameNode) {
			list = append(list, name)
		}
	}
	return list
}
