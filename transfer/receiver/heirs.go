package receiver

import (
	"context"
	"errors"
	"slices"
	"syscall"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
)

// removal removes directories that transfers made and that are empty. One in which
// another transfer has its destination stays: from then on it is as if that one had
// made it. So it is with one in which the partial of another transfer lies. Who leaves
// last removes it (P6).
//
// It has r.making of the file system that it is in, so that nobody goes into a directory
// that is about to be removed; never of two at a time.
type removal struct {
	r      *Receiver
	uid    transfer.UID
	dev    uint64
	unlock func() // nil: it is in none
	// heirs are transfers by the directories on the way to their destinations, and by
	// those in their trees that are in use now.
	heirs    map[fileID]transfer.UID
	journals map[transfer.UID]*journal
	given    map[transfer.UID][]string // the deepest first
	// partials are keys of partials by the directories that they lie in. They are
	// looked up when the first directory has something in it.
	partials map[string]string
	dropped  string              // the key of a partial that is going
	kept     map[string][]string // by key, the deepest first
}

// newRemoval prepares the removal of directories that a transfer made, or those of
// a partial; then every transfer may be an heir, and uid is none. It must be ended.
func (r *Receiver) newRemoval(uid transfer.UID, partial string) *removal {
	return &removal{r: r, uid: uid, dropped: partial}
}

// enter goes on in a file system, after it has left the one that it was in.
func (m *removal) enter(dev uint64) error {
	if m.unlock != nil && m.dev == dev {
		return nil
	}
	err := m.end()
	m.unlock, m.dev = m.r.making.lock(dev), dev
	return err
}

// findHeirs looks for who uses what in the file system. A transfer that goes to
// another one can have there only what is not empty, as what is mounted lies in it.
func (m *removal) findHeirs() {
	if m.heirs != nil {
		return
	}
	m.heirs, m.journals = map[fileID]transfer.UID{}, map[transfer.UID]*journal{}
	m.given, m.kept = map[transfer.UID][]string{}, map[string][]string{}
	r := m.r
	r.mu.Lock()
	var others []lockRecord
	var edges []*edge
	for u, l := range r.locks {
		if u == m.uid || l.left {
			continue
		}
		if l.where.root.Dev == m.dev {
			others = append(others, l.rec)
		}
		if l.edge != nil {
			edges = append(edges, l.edge)
		}
	}
	r.mu.Unlock()
	for _, e := range edges {
		for _, id := range e.dirs.inUse() {
			m.heirs[id] = e.m.UID
		}
	}
	for i := range others {
		root, rel, err := r.cfg.Exports().Resolve(string(others[i].Dest), true)
		if err != nil {
			continue
		}
		d := &dest{root: root, rel: rel}
		if d.id, err = identify(root, rel, false); err != nil {
			continue
		}
		above, err := d.above()
		if err != nil {
			continue
		}
		for _, id := range above {
			m.heirs[id] = others[i].UID
		}
	}
}

// dir removes a directory if it is empty and nobody else uses it.
func (m *removal) dir(path string) error {
	err := m.r.inDir(parentPath(path), func(d *fsroot.Dir) error {
		name := baseOf(path)
		at, err := d.Info()
		if err != nil {
			return err
		}
		if err := m.enter(at.Dev); err != nil {
			m.r.log.Warn("leave directories to other transfers", "error", err)
		}
		m.findHeirs()
		if len(m.heirs) > 0 {
			info, err := d.Lstat(name)
			if err != nil {
				return err
			}
			if heir, ok := m.heirs[fileID{info.Dev, info.Ino}]; ok && m.open(heir) {
				m.given[heir] = append(m.given[heir], path)
				return nil
			}
		}
		return d.Rmdir(name)
	})
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		if key := m.partialIn(path); key != "" {
			m.kept[key] = append(m.kept[key], path)
		}
	}
	return err
}

// open reports whether a transfer can take a directory over. One without a journal
// has not begun, and makes for itself what is gone by then.
func (m *removal) open(uid transfer.UID) bool {
	if m.journals[uid] != nil {
		return true
	}
	j, err := m.r.journals.get(uid, false)
	if err != nil {
		return false
	}
	m.journals[uid] = j
	return true
}

// partialIn returns the key of a partial in a directory, or below it.
func (m *removal) partialIn(path string) string {
	if m.partials == nil {
		m.partials = map[string]string{}
		err := m.r.t.partials.All(func(key string, rec partialRecord) error {
			if key == m.dropped {
				return nil
			}
			for p := string(rec.Dir); p != "" && m.partials[p] == ""; p = parentOf(p) {
				m.partials[p] = key
			}
			return nil
		})
		if err != nil {
			m.r.log.Warn("look for partials", "error", err)
		}
	}
	return m.partials[path]
}

// end hands over what others use, and leaves the file system.
func (m *removal) end() error {
	if m.unlock == nil {
		return nil
	}
	defer func() {
		m.unlock()
		m.unlock, m.heirs, m.journals, m.given, m.kept, m.partials = nil, nil, nil, nil, nil, nil
	}()
	var errs []error
	for uid, j := range m.journals {
		given := m.given[uid]
		slices.Reverse(given) // as they are made
		for _, path := range given {
			_, err := j.append(frameDir, appendString(nil, path))
			errs = append(errs, err)
		}
		errs = append(errs, j.Close())
	}
	if len(m.kept) > 0 {
		errs = append(errs, m.r.store.UpdateReserved(context.WithoutCancel(m.r.ctx), m.keep))
	}
	return errors.Join(errs...)
}

func (m *removal) keep(tx *store.Tx) error {
	for key, paths := range m.kept {
		rec, ok, err := m.r.t.partials.GetTx(tx, key)
		if err != nil {
			return err
		}
		had := len(rec.MadeDirs)
		for _, path := range paths {
			if !slices.ContainsFunc(rec.MadeDirs, func(p []byte) bool { return string(p) == path }) {
				rec.MadeDirs = append(rec.MadeDirs, []byte(path))
			}
		}
		if !ok || len(rec.MadeDirs) == had {
			continue
		}
		if err := m.r.t.partials.Put(tx, key, rec); err != nil {
			return err
		}
	}
	return nil
}
