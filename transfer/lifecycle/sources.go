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
	contents := map[string]bool{}
	for _, s := range spec.Sources {
		paths = append(paths, s.Path)
		contents[s.Path] = s.Contents
	}
	seen := map[string]bool{} // a shuffle merge names few files in many pieces
	for _, p := range spec.Pieces {
		if _, region := transfer.RegionOf(p.Path); !region && !seen[p.Path] {
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
			info, err = root.Stat(rel)
		}
		if err != nil {
			return PathError(err, x, node, p, transfer.SideSource)
		}
		if spec.Mode == transfer.ModeSync && info.Kind != fsroot.Directory {
			return &transfer.Error{
				Reason: transfer.InvalidSpec, Side: transfer.SideSource, Phase: transfer.PhaseSubmit, Node: node, Path: p,
				Err: errors.New("sync takes a directory"), Hint: "use cp for a single file",
			}
		}
		if len(spec.Expected) > 0 && info.Kind != fsroot.Regular {
			return &transfer.Error{
				Reason: transfer.InvalidSpec, Side: transfer.SideSource, Phase: transfer.PhaseSubmit, Node: node, Path: p,
				Err: errors.New("a digest is expected, and it is no regular file"), Hint: "name one file",
			}
		}
		if _, ok := spec.IntoRegion(); ok && info.Kind != fsroot.Regular {
			return &transfer.Error{
				Reason: transfer.SourceNotRegular, Side: transfer.SideSource, Phase: transfer.PhaseSubmit, Node: node, Path: p,
				Err: errors.New("only regular files and regions can go into a region"),
			}
		}
		if contents[p] && info.Kind == fsroot.Regular {
			return &transfer.Error{
				Reason: transfer.InvalidSpec, Side: transfer.SideSource, Phase: transfer.PhaseSubmit, Node: node, Path: p,
				Err: errors.New("a file has no contents as a directory has"), Hint: "name it without a slash at the end",
			}
		}
		if err := wantedKind(info.Kind, spec); err != nil {
			return &transfer.Error{
				Reason: transfer.SourceNotRegular, Side: transfer.SideSource, Phase: transfer.PhaseSubmit, Node: node, Path: p,
				Err: err, Hint: "special files are made anew where they are asked for: --preserve=+specials,+devices",
			}
		}
	}
	return nil
}

// wantedKind refuses a special file that is named and would be skipped: inside
// a tree that is what is wanted, but not of what somebody asks for by name.
func wantedKind(k fsroot.Kind, spec *transfer.Spec) error {
	switch k {
	case fsroot.Regular, fsroot.Directory, fsroot.Symlink:
		return nil
	case fsroot.FIFO, fsroot.Socket:
		if spec.Preserve.Has(transfer.PreserveSpecials) {
			return nil
		}
		return errors.New("it is a FIFO or socket")
	}
	if spec.Preserve.Has(transfer.PreserveDevices) {
		return nil
	}
	return errors.New("it is a device")
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
