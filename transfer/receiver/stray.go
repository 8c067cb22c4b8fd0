package receiver

import (
	"encoding/hex"
	"strconv"
	"strings"
	"sync"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// strays finds what a power cut left of an attempt in an earlier life of the daemon:
// the journal names every temp before it is made, but is synced later, so the name
// may be on the disk and the record not. A directory is looked through when an attempt
// comes to it for the first time.
type strays struct {
	prefix string          // of all temps of the transfer
	epoch  uint64          // of this attempt
	kept   map[string]bool // temps in the index of partials

	mu   sync.Mutex
	seen map[uint64]bool // directories
}

// findStrays returns nil where no attempt of an earlier life can have left anything.
func (e *edge) findStrays() *strays {
	uid := e.m.UID
	e.r.mu.Lock()
	l := e.r.locks[uid]
	e.r.mu.Unlock()
	if l == nil || !l.earlier || e.opt.DryRun {
		return nil
	}
	s := &strays{prefix: tempPrefix + hex.EncodeToString(uid[:]) + ".", epoch: e.m.Epoch, kept: map[string]bool{}, seen: map[uint64]bool{}}
	err := e.r.t.partials.All(func(_ string, rec partialRecord) error {
		if strings.HasPrefix(rec.Temp, s.prefix) {
			s.kept[rec.Temp] = true
		}
		return nil
	})
	if err != nil {
		e.log.Warn("temporary files of an earlier attempt are not looked for", "error", err)
		return nil
	}
	return s
}

// isOne says whether a name is that of a temp of an earlier attempt of the transfer
// which nobody keeps. Such a name is nobody else's: it has the transfer's uid.
func (s *strays) isOne(name []byte) bool {
	rest, ours := strings.CutPrefix(string(name), s.prefix)
	epoch, _, ok := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(epoch, 10, 64)
	return ours && ok && err == nil && n < s.epoch && !s.kept[string(name)]
}

// sweep removes the strays of a directory, once.
func (c *dirCache) sweep(num uint64, d *fsroot.Dir) {
	s, e := c.strays, c.e
	if s == nil || num != transfer.NoParent && e.stateOf(num)&stateMade != 0 {
		return
	}
	s.mu.Lock()
	done := s.seen[num]
	s.seen[num] = true
	s.mu.Unlock()
	if done {
		return
	}
	var names []string
	err := d.ReadDirBytes(func(name []byte, _ fsroot.Kind) error {
		if len(name) > len(tempPrefix) && name[0] == tempPrefix[0] && s.isOne(name) {
			names = append(names, string(name))
		}
		return nil
	})
	for _, name := range names {
		if err == nil {
			if err = d.Unlink(name); fsMissing(err) {
				err = nil
			}
		}
	}
	switch {
	case err != nil:
		e.log.Warn("look for temporary files of an earlier attempt", "dir", d.Path(), "error", err)
	case len(names) > 0:
		e.log.Info("temporary files of an earlier attempt removed, which the journal had not kept", "dir", d.Path(), "files", len(names))
	}
}
