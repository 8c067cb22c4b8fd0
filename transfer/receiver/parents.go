package receiver

import "github.com/xferd/xferd/transfer"

// missingParents notes in a dry run which directories a run would make for the
// destination to lie in.
func (d *dest) missingParents() error {
	rel := d.baseRel()
	id, err := identify(d.root, rel, false)
	if err == nil {
		d.parents = id.missing(rel)
	}
	return err
}

// fresh says whether the destination itself, where the entries lie in it, was
// made for this attempt.
func (d *dest) fresh() bool {
	n := len(d.parents)
	return d.last == "" && n > 0 && d.parents[n-1] == d.rel
}

// tellParents tells of the directories that were made above the destination, by
// their whole path, since they are not in it. It is the manifest's to tell of the
// destination itself, where that is an entry.
func (e *edge) tellParents() {
	e.mu.Lock()
	nothing := e.failed > 0 && e.published == 0 // they go again: see leaveBehind
	e.mu.Unlock()
	if nothing {
		return
	}
	list := e.dest.parents
	if e.dest.fresh() {
		if first, err := e.manifest.Entry(0); err == nil && first.Name == "" {
			list = list[:len(list)-1]
		}
	}
	for _, rel := range list {
		e.out.result(transfer.Result{Entry: transfer.NoEntry, Path: joinPath(e.dest.root.Path(), rel), Kind: transfer.KindDir, Outcome: transfer.OutcomePublished, Change: transfer.ChangeNew})
	}
}
