package receiver

import (
	"errors"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// sourceDir is the fingerprint of the directory that a sync of another node copies from;
// zero where it is not known.
func (e *edge) sourceDir() (p transfer.Fingerprint) {
	if ent, err := e.manifest.Entry(0); err == nil && !e.peer.SameNode && ent.Kind == transfer.KindDir && ent.Name == "" {
		p = ent.Print
	}
	return p
}

// isSource ends a deletion before it begins, where a directory that would go is the one
// that is copied from, in a file system that both nodes reach. The mark tells the owner
// so too, but not where its exports begin below the destination, nor in a dry run.
// Devices have other numbers at other hosts; inode and times are the same.
func (d *deletion) isSource(dir *fsroot.Dir, rel string) error {
	if d.source.Ino == 0 {
		return nil
	}
	info, err := dir.Info()
	if err != nil || info.Ino != d.source.Ino || info.Ctime != d.source.Ctime || info.Mtime != d.source.Mtime {
		return nil
	}
	return &transfer.Error{
		Reason: transfer.SameFile, Side: transfer.SideTarget, Phase: transfer.PhaseDelete, Node: d.r.cfg.Node, Path: joinPath(d.dest.path, rel),
		Err:  errors.New("it would be deleted and seems to be the source, in a file system that both nodes reach: nothing was deleted"),
		Hint: "leave it out with --exclude, or choose another destination",
	}
}
