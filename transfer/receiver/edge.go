package receiver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/manifest"
	"github.com/xferd/xferd/transport"
)

// edge is one attempt of a transfer at its target.
type edge struct {
	r     *Receiver
	log   *slog.Logger
	peer  Peer
	m     *transfer.Open
	opt   *rules
	dest  *dest
	temps tempNames

	journal  *journal      // nil in a dry run
	manifest *manifest.Log // likewise made in a dry run: in the target's logs of the uid
	dirs     *dirCache
	out      *outbox
	pub      *publisher
	work     *workers
	slots    slots

	ctx    context.Context // ends with the edge
	cancel context.CancelCauseFunc
	busy   context.Context // of the workers; ends when the edge begins to
	rest   context.CancelFunc
	over   chan struct{} // closed when nothing of the edge runs any more

	// Only the loop uses these.
	incoming transport.Incoming
	stats    transport.Stats // of the data planes that are fenced
	scanned  *transfer.ScanDone

	mu          sync.Mutex
	files       map[uint64]*file   // entries that wait for something, by number
	held        map[uint64][]*file // hard links that wait for the entry they point to
	states      []state            // one per entry of the manifest
	outstanding uint64             // entries without a result
	tempSeq     uint64
	published   int64
	failed      int64
	metaTouched bool // something was changed that a batch does not sync
	removals    removals
	room        room     // of a dry run
	found       found    // of a verification
	claims      []string // partials that are kept from other edges
	causes      causes
	mark        *mark // nil where there is none, or none any more
	fsErrors    fsErrors
	holding     holding // has its own mutex
	checked     transfer.Checked
}

// state is what is remembered of every entry: one byte, so that a million
// entries take a megabyte.
type state uint8

const (
	stateOutcome  state = 0b111  // a transfer.Outcome, 0 while there is no result
	stateDir      state = 1 << 3 // a directory that children may go into
	stateMade     state = 1 << 4 // and that this edge made: there is nothing in it but ours
	stateLinkable state = 1 << 5 // a file that hard links may point to
)

func (s state) outcome() transfer.Outcome { return transfer.Outcome(s & stateOutcome) }

// running is the context of an edge and how to end it.
type running struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// newEdge makes the directories that are missing, and the logs. The destination is
// locked by lockDest. On an error nothing is left open.
func (r *Receiver) newEdge(run running, p Peer, m *transfer.Open, opt *rules, d *dest) (*edge, *transfer.Error) {
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails
	e := &edge{
		r: r, peer: p, m: m, opt: opt, dest: d,
		log:    r.log.With("transfer", transfer.Name(m.Owner, m.ID), "uid", m.UID.String(), "epoch", m.Epoch),
		temps:  newTempNames(m.UID, m.Epoch, binary.LittleEndian.Uint64(seed[:])),
		over:   make(chan struct{}),
		files:  map[uint64]*file{},
		held:   map[uint64][]*file{},
		slots:  slots{edge: make(chan struct{}, r.cfg.MaxTemps), node: r.slots},
		ctx:    run.ctx,
		cancel: run.cancel,
	}
	e.busy, e.rest = context.WithCancel(e.ctx)
	if terr := e.prepare(); terr != nil {
		e.closeAll()
		return nil, terr
	}
	e.dirs = newDirCache(e)
	if !opt.DryRun {
		r.mu.Lock()
		r.edges[m.UID] = e
		r.locks[m.UID].edge = e
		r.mu.Unlock()
	}
	return e, nil
}

// prepare does what newEdge can fail at.
func (e *edge) prepare() *transfer.Error {
	uid := e.m.UID.String()
	name := "manifest"
	if e.opt.DryRun {
		name = "dryrun" // beside a real attempt, if there is one
	}
	if err := e.r.store.RemoveLog(store.Target, uid, name); err != nil {
		return e.r.storeRefusal(err)
	}
	var err error
	if e.manifest, err = manifest.Create(e.r.store, store.Target, uid, name); err != nil {
		return e.r.storeRefusal(err)
	}
	if e.opt.DryRun {
		return nil
	}
	if e.journal, err = e.r.journals.get(e.m.UID, true); err != nil {
		return e.r.storeRefusal(err)
	}
	begin := attemptFrame{Epoch: e.m.Epoch, Temps: e.temps.prefix, ChunkSize: e.opt.ChunkSize, Source: string(e.m.Owner)}
	if _, err := e.journal.append(frameAttempt, begin.append(nil)); err != nil {
		return e.r.storeRefusal(err)
	}
	if terr := e.makeBase(); terr != nil {
		return terr
	}
	return e.leaveMark()
}

// makeBase opens the directory that holds the root entries, and makes it and
// those above where they are missing. They are in the journal before they are
// made.
func (e *edge) makeBase() *transfer.Error {
	d := e.dest
	rel := d.baseRel()
	id, unlock, err := e.r.lockBase(d.root, rel, d.id.Dev)
	if err != nil {
		return e.r.destError(err, transfer.PhaseConnect, d.path)
	}
	defer unlock()
	missing := id.missing(rel)
	for _, m := range missing {
		if _, err := e.journal.append(frameDir, appendString(nil, joinPath(d.root.Path(), m))); err != nil {
			return e.r.storeRefusal(err)
		}
	}
	base, made, err := d.root.MkdirAll(rel, 0o755)
	failpoint.Hit("receiver/base-made")
	d.parents = made
	for _, m := range missing {
		if !slices.Contains(made, m) {
			_, _ = e.journal.append(frameDirNot, appendString(nil, joinPath(d.root.Path(), m)))
		}
	}
	if err != nil {
		return e.r.destError(err, transfer.PhaseConnect, d.path)
	}
	d.base = base
	if e.opt.durable() {
		if err := syncParents(d.root, made); err != nil {
			return e.r.destError(err, transfer.PhaseConnect, d.path)
		}
	}
	if base.ReadOnly() {
		return e.r.refuse(transfer.ExportReadOnly, d.path, errors.New("the destination lies in a read-only export"))
	}
	return nil
}

// syncParents makes the names of new directories durable.
func syncParents(root *fsroot.Root, made []string) error {
	for _, rel := range made {
		d, err := root.OpenDir(parentOf(rel))
		if err != nil {
			return err
		}
		err = d.Sync()
		d.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// serve runs the edge to its end.
func (e *edge) serve(link transfer.OwnerLink, opened *transfer.Opened) error {
	ctx, cancel := e.ctx, e.cancel
	e.out = newOutbox(link.Send)
	e.out.post(opened)
	var side sync.WaitGroup
	side.Go(func() {
		if err := e.out.run(ctx); err != nil {
			cancel(ownerLost(err))
		}
	})
	inbox := make(chan transfer.ToTarget)
	side.Go(func() {
		for {
			m, err := link.Recv(ctx)
			if err != nil {
				cancel(ownerLost(err))
				return
			}
			select {
			case inbox <- m:
			case <-ctx.Done():
				return
			}
		}
	})
	e.pub = newPublisher(e)
	e.work = newWorkers(2)

	l := loop{edge: e, inbox: inbox}
	end := l.run()
	ended := make(chan struct{})
	side.Go(func() { e.answerPings(inbox, ended) })
	final := e.end(&end)
	close(ended)

	if final != nil {
		e.out.post(final)
	}
	e.out.close()
	select {
	case <-e.out.done:
	case <-time.After(flushTimeout):
	}
	if terr := e.refusal(end); terr != nil {
		// Beside the outbox, which may have ended with the edge's context.
		ctx, done := context.WithTimeout(context.WithoutCancel(ctx), refusalTimeout)
		_ = link.Send(ctx, &transfer.Refused{Err: terr})
		done()
	}
	cancel(errOver)
	side.Wait()
	e.closeAll()
	e.leave()
	e.logEnd(&end)
	return end.err
}

// logEnd says in the log how the edge ended, for people: a dry run published
// nothing, and whoever was cancelled by a stream that ended was told by nobody.
func (e *edge) logEnd(end *ending) {
	switch {
	case errors.Is(end.err, context.Canceled):
		e.log.Warn("edge ended", "how", end.how.String(), "error", "the owner "+string(e.m.Owner)+" is lost: its stream ended")
	case end.err != nil:
		e.log.Warn("edge ended", "how", end.how.String(), "error", end.err)
	case e.opt.verify:
		e.log.Info("edge ended", "how", end.how.String(), "different", e.published, "failed", e.failed)
	case e.opt.DryRun:
		e.log.Info("edge ended", "how", end.how.String(), "would_publish", e.published, "failed", e.failed)
	default:
		e.log.Info("edge ended", "how", end.how.String(), "published", e.published, "failed", e.failed)
	}
}

// answerPings lets the owner see that the end, which may publish and sync a lot,
// is under way. Nothing else that it still says counts.
func (e *edge) answerPings(inbox <-chan transfer.ToTarget, ended <-chan struct{}) {
	for {
		select {
		case m := <-inbox:
			if p, ok := m.(*transfer.Ping); ok {
				e.pong(p.Seq)
			}
		case <-ended:
			return
		}
	}
}

// How long the last messages may take to be sent.
const (
	flushTimeout   = 5 * time.Second
	refusalTimeout = time.Second
)

var errOver = errors.New("the edge is over")

// refusal is what the owner is told of an edge that this side ends early; nil
// where there is nobody to tell.
func (e *edge) refusal(end ending) *transfer.Error {
	if end.how == endFinished || end.err == nil {
		return nil
	}
	terr, ok := errors.AsType[*transfer.Error](end.err)
	switch {
	case ok && terr.Reason == transfer.OwnerUnreachable:
		return nil
	case ok:
		return terr
	case errors.Is(end.err, context.Canceled):
		return errClosed
	case errors.Is(end.err, errSuperseded):
		return e.r.refuse(transfer.StaleEpoch, e.dest.path, end.err)
	case errors.Is(end.err, errAbandoned):
		if terr := e.r.checkLetGo(e.m); terr != nil {
			return terr
		}
		return e.r.refuse(transfer.Cancelled, e.dest.path, end.err)
	}
	return &transfer.Error{Reason: transfer.Internal, Side: transfer.SideTarget, Phase: transfer.PhaseMove, Node: e.r.cfg.Node, Err: end.err}
}

// ownerLost is the end of an edge by its link.
func ownerLost(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &transfer.Error{Reason: transfer.OwnerUnreachable, Side: transfer.SideTarget, Phase: transfer.PhaseMove, Err: err}
}

// leave takes the edge out of the receiver's maps; from then on the next
// attempt may be opened.
func (e *edge) leave() {
	e.r.mu.Lock()
	if e.r.edges[e.m.UID] == e {
		delete(e.r.edges, e.m.UID)
	}
	if l := e.r.locks[e.m.UID]; l != nil && l.edge == e {
		l.edge, l.lost = nil, time.Now()
	}
	e.r.mu.Unlock()
	close(e.over)
}

// closeAll closes what the edge has open.
func (e *edge) closeAll() {
	e.rest()
	e.slots.giveAll()
	if e.dirs != nil {
		e.dirs.closeAll()
	}
	if e.dest.base != nil {
		e.dest.base.Close()
	}
	if e.manifest != nil {
		e.manifest.Close()
	}
	if e.opt.DryRun {
		_ = e.r.store.RemoveLog(store.Target, e.m.UID.String(), "dryrun")
		e.r.dropJournal(e.m.UID, nil)
	}
	if e.journal != nil {
		e.journal.Close()
	}
}

// setState changes the byte of an entry.
func (e *edge) setState(n uint64, bits state) {
	e.mu.Lock()
	e.states[n] |= bits
	e.mu.Unlock()
}

func (e *edge) stateOf(n uint64) state {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n >= uint64(len(e.states)) {
		return 0
	}
	return e.states[n]
}
