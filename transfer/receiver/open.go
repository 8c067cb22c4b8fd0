package receiver

import (
	"errors"
	"fmt"
	"strings"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// dest is the resolved destination of an edge.
type dest struct {
	root *fsroot.Root
	rel  string // of Open.Dest in root
	path string
	// base holds the root entries: the parent of an exact destination, or the
	// destination itself. It is nil in a dry run where it does not exist.
	base *fsroot.Dir
	// last is the name of an exact destination in base; "" where base is the
	// destination itself.
	last string
	id   identity
	lock cover // what of it others are kept from
	// parents are the directories, base among them, that this attempt made, or in
	// a dry run would make: paths in root, outermost first.
	parents []string
}

// baseRel is the path within the export of the directory that must exist.
func (d *dest) baseRel() string {
	if d.last == "" {
		return d.rel
	}
	return parentOf(d.rel)
}

// open authorises, resolves and locks. With ValidateOnly it returns no edge. A
// refusal left nothing behind.
func (r *Receiver) open(run running, p Peer, m *transfer.Open) (*edge, *transfer.Opened, *transfer.Error) {
	if p.Node != "" && m.Owner != p.Node {
		return nil, nil, r.refuse(transfer.PermissionDenied, m.Dest, fmt.Errorf("node %s speaks for %s", p.Node, m.Owner))
	}
	ctx := run.ctx
	opt, err := checkOpen(m)
	if err != nil {
		return nil, nil, r.refuse(transfer.InvalidSpec, m.Dest, err)
	}
	d, terr := r.resolve(m)
	if terr != nil {
		return nil, nil, terr
	}
	if d.id, err = identify(d.root, d.rel, p.SameNode); err != nil {
		return nil, nil, r.destError(err, transfer.PhaseConnect, m.Dest)
	}
	if p.SameNode {
		if terr := r.checkSources(m, d); terr != nil {
			return nil, nil, terr
		}
	}
	unlock, err := r.lockDest(d, opt.names)
	if err != nil {
		return nil, nil, r.destError(err, transfer.PhaseConnect, m.Dest)
	}
	defer unlock()
	if terr := r.checkEpoch(m); terr != nil && !m.ValidateOnly {
		return nil, nil, terr
	}
	if terr := r.checkLetGo(m); terr != nil {
		return nil, nil, terr
	}
	if r.cfg.Draining != nil && r.cfg.Draining() && !r.holds(m.UID) {
		terr := r.refuse(transfer.NodeDraining, m.Dest, errors.New("the node takes no new transfers"))
		terr.Hint = "choose another node, or undo it: xferctl nodes undrain " + string(r.cfg.Node)
		return nil, nil, terr
	}
	if err := r.store.Room(); err != nil {
		return nil, nil, r.storeRefusal(err) // before anything is taken on, or let go of
	}
	opened := &transfer.Opened{
		Node: r.cfg.Node, Incarnation: r.store.Incarnation(), Credits: r.cfg.Credits,
		Transports: r.transports(p), ResolvedTo: r.resolvedTo(d), Digest: opt.Digest,
	}
	space, terr := r.checkSpace(m, d)
	if terr != nil {
		return nil, nil, terr
	}
	opened.FreeBytes = space.FreeBytes
	if why := whyNoMedia(space.Type); why != "" && opt.Verify == transfer.VerifyMedia {
		opened.Checked = transfer.Checked{Verify: transfer.VerifyStore, Reason: why}
	}
	if m.ValidateOnly || opt.DryRun {
		// Nothing changes: no lock is needed and no directory made. Whoever only
		// compares is in nobody's way.
		if terr := r.conflict(m, &d.lock, true); terr != nil && !opt.verify {
			return nil, nil, terr
		}
		if m.ValidateOnly {
			return nil, opened, nil
		}
		err := d.openBase()
		if fsMissing(err) {
			err = d.missingParents()
		}
		if err != nil {
			return nil, nil, r.destError(err, transfer.PhaseConnect, m.Dest)
		}
		e, terr := r.newEdge(run, p, m, opt, d)
		return e, opened, terr
	}
	if err := r.endEdge(ctx, m.UID, errSuperseded); err != nil {
		return nil, nil, r.refuse(transfer.DestBusy, m.Dest, fmt.Errorf("the attempt before this one has not ended: %w", err))
	}
	if terr := r.takeLock(ctx, m, &d.lock); terr != nil {
		return nil, nil, terr
	}
	e, terr := r.newEdge(run, p, m, opt, d)
	if terr != nil {
		// The lock of a first attempt goes again; one that was there stays.
		if err := r.dropTransfer(ctx, m.UID, false); err != nil {
			r.log.Error("release the destination", "uid", m.UID, "error", err)
		}
		return nil, nil, terr
	}
	return e, opened, nil
}

// holds reports whether a transfer has its destination locked here already.
func (r *Receiver) holds(uid transfer.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.locks[uid] != nil
}

// resolve finds the export. It does no I/O.
func (r *Receiver) resolve(m *transfer.Open) (*dest, *transfer.Error) {
	root, rel, err := r.cfg.Exports().Resolve(m.Dest, m.Mode != transfer.ModeVerify)
	if err != nil {
		return nil, r.pathRefusal(err, m.Dest)
	}
	for name := range strings.SplitSeq(rel, "/") {
		if strings.HasPrefix(name, tempPrefix) {
			return nil, r.refuse(transfer.ReservedName, m.Dest, errors.New("names that begin with .xferd. belong to xferd"))
		}
	}
	d := &dest{root: root, rel: rel, path: m.Dest}
	if m.DestMode == transfer.DestExact && rel != "" {
		d.last = baseOf(rel)
	}
	return d, nil
}

// openBase opens the directory that is there.
func (d *dest) openBase() (err error) {
	d.base, err = d.root.OpenDir(d.baseRel())
	return err
}

func (r *Receiver) transports(p Peer) []string {
	var list []string
	for _, name := range r.cfg.Order {
		if r.cfg.Acceptors[name] != nil && (name != transport.Local || p.SameNode) {
			list = append(list, name)
		}
	}
	return list
}

func (r *Receiver) resolvedTo(d *dest) string {
	if len(d.id.Real) > 0 {
		return string(d.id.Real)
	}
	return d.path
}

// checkSpace returns the free bytes. The owner's hint is no reason to refuse
// while it fits in the file system at all: much of it may be here already.
func (r *Receiver) checkSpace(m *transfer.Open, d *dest) (s fsroot.Statfs, terr *transfer.Error) {
	dir, err := d.existing()
	if err != nil {
		return s, r.destError(err, transfer.PhaseConnect, m.Dest)
	}
	defer dir.Close()
	if dir.ReadOnly() && m.Mode != transfer.ModeVerify {
		return s, r.pathRefusal(fsroot.ErrReadOnly, m.Dest)
	}
	if s, err = dir.Statfs(); err != nil {
		return s, r.destError(err, transfer.PhaseConnect, m.Dest)
	}
	if m.Mode == transfer.ModeVerify {
		return s, nil
	}
	if s.Total > 0 && m.BytesHint > s.Total {
		return s, r.refuse(transfer.DestNoSpace, m.Dest, fmt.Errorf("%d bytes are to be copied and the file system has %d in all", m.BytesHint, s.Total))
	}
	return s, nil
}
