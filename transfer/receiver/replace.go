package receiver

import (
	"errors"
	"fmt"

	"github.com/xferd/xferd/transfer"
)

// mayReplace says whether a directory may give way to an entry: only when it was
// asked for, and when all that is in it may go. That is found out before the
// first name goes: what a filter leaves out, what is mounted or read-only there
// and what other transfers are writing stays, and so does the directory.
func (e *edge) mayReplace(f *file, want string) error {
	if !e.opt.Force {
		return e.conflictError(f.name, f.have.Kind, want)
	}
	parent, err := e.dirs.get(f.dir)
	if err != nil {
		return err
	}
	defer parent.Close()
	d := deletion{edge: e, ctx: e.ctx, limit: 1<<63 - 1, dead: true}
	rel := f.name
	if f.dir != transfer.NoParent {
		above, err := d.relPath(f.dir)
		if err != nil {
			return err
		}
		rel = joinRel(above, f.name)
	}
	stays, err := d.removeIn(parent.Dir, f.name, rel, 0)
	if err = errors.Join(append(d.errs, err)...); err != nil {
		return err
	}
	if stays {
		terr := e.entryError(transfer.DestTypeConflict, f.name, fmt.Errorf("a directory is in the way of a %s, with something in it that must stay", want))
		terr.Hint = "look for names that a filter leaves out, for mounts, and for transfers into it"
		return terr
	}
	return nil
}
