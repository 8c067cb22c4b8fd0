package lifecycle

import (
	"errors"
	"fmt"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// checkSources refuses, before a transfer is stored, sources that are not
// exported or not there.
func checkSources(x *fsroot.Exports, node transfer.NodeID, spec *transfer.Spec) error {
	paths := make([]string, 0, len(spec.Sources)+len(spec.Pieces))
	for _, s := range spec.Sources {
		paths = append(paths, s.Path)
	}
	seen := map[string]bool{} // a shuffle merge names few files in many pieces
	for _, p := range spec.Pieces {
		if !seen[p.Path] {
			seen[p.Path] = true
			paths = append(paths, p.Path)
		}
	}
	for _, p := range paths {
		root, rel, err := x.Resolve(p, false)
		if err != nil {
			return PathError(err, x, node, p, transfer.SideSource)
		}
		info, err := root.Lstat(rel)
		if err == nil && info.Kind == fsroot.Symlink && spec.Follow {
			_, err = root.Stat(rel)
		}
		if err != nil {
			return PathError(err, x, node, p, transfer.SideSource)
		}
		if spec.Mode == transfer.ModeSync && info.Kind != fsroot.Directory && !(spec.Follow && info.Kind == fsroot.Symlink) {
			return &transfer.Error{
				Reason: transfer.InvalidSpec, Side: transfer.SideSource, Phase: transfer.PhaseSubmit, Node: node, Path: p,
				Err: errors.New("sync takes a directory"), Hint: "use cp for a single file",
			}
		}
	}
	return nil
}

// PathError gives the refusal of a path by fsroot its reason, for errors of a
// submit or of a look. The exports that there are are part of the hint: who may
// call may know them.
func PathError(err error, x *fsroot.Exports, node transfer.NodeID, path string, side transfer.Side) *transfer.Error {
	e := &transfer.Error{Side: side, Phase: transfer.PhaseSubmit, Node: node, Path: path, Err: err}
	switch {
	case errors.Is(err, fsroot.ErrBadPath):
		e.Reason, e.Hint = transfer.BadPath, "a path is absolute, without . and .. components"
	case errors.Is(err, fsroot.ErrNotExported):
		e.Reason = transfer.PathNotAllowed
		e.Hint = "exports of the node: "
		for i, ex := range x.List() {
			if i > 0 {
				e.Hint += ", "
			}
			e.Hint += fmt.Sprintf("%s (%s)", transfer.EscapePath(ex.Path), ex.Mode)
		}
	case errors.Is(err, fsroot.ErrReadOnly):
		e.Reason, e.Hint = transfer.ExportReadOnly, "its export is mode: ro in the node's configuration"
	case errors.Is(err, fsroot.ErrEscapes):
		e.Reason, e.Hint = transfer.PathEscapesRoot, "the path goes through a symbolic link that leaves the export"
	case side == transfer.SideSource:
		return transfer.SourceError(err, transfer.PhaseSubmit, node, path)
	default:
		return transfer.DestError(err, transfer.PhaseSubmit, node, path)
	}
	return e
}
