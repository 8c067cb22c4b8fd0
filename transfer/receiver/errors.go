package receiver

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
)

// refuse makes the error of an edge that is not opened.
func (r *Receiver) refuse(reason transfer.Reason, path string, err error) *transfer.Error {
	return &transfer.Error{Reason: reason, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: r.cfg.Node, Path: path, Err: err}
}

func (r *Receiver) stale(got, seen uint64) *transfer.Error {
	return &transfer.Error{Reason: transfer.StaleEpoch, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: r.cfg.Node,
		Err: fmt.Errorf("attempt %d is not newer than attempt %d", got, seen)}
}

// pathRefusal gives an error of Resolve its reason.
func (r *Receiver) pathRefusal(err error, path string) *transfer.Error {
	switch {
	case errors.Is(err, fsroot.ErrNotExported):
		e := r.refuse(transfer.PathNotAllowed, path, fsroot.ErrNotExported)
		var rw []string
		for _, x := range r.cfg.Exports().List() {
			if x.Mode == fsroot.ReadWrite {
				rw = append(rw, transfer.EscapePath(x.Path))
			}
		}
		e.Hint = "nothing may be written on this node"
		if len(rw) > 0 {
			e.Hint = "exports that may be written: " + strings.Join(rw, " ")
		}
		return e
	case errors.Is(err, fsroot.ErrReadOnly):
		return r.refuse(transfer.ExportReadOnly, path, fsroot.ErrReadOnly)
	case errors.Is(err, fsroot.ErrBadPath):
		return r.refuse(transfer.BadPath, path, err)
	}
	return r.destError(err, transfer.PhaseConnect, path)
}

// destError gives an error of the destination's file system its reason.
func (r *Receiver) destError(err error, phase transfer.Phase, path string) *transfer.Error {
	switch {
	case errors.Is(err, fsroot.ErrEscapes):
		err = fmt.Errorf("%w: %w", transfer.FSEscape, err)
	case errors.Is(err, fsroot.ErrReadOnly):
		return &transfer.Error{Reason: transfer.ExportReadOnly, Side: transfer.SideTarget, Phase: phase, Node: r.cfg.Node, Path: path, Err: err}
	case errors.Is(err, fsroot.ErrNoInodes):
		return &transfer.Error{Reason: transfer.DestNoInodes, Side: transfer.SideTarget, Phase: phase, Node: r.cfg.Node, Path: path, Err: err,
			Hint: "remove files at the destination, or give its file system more inodes, and run the same command again: what is there is not sent again"}
	}
	return transfer.DestError(err, phase, r.cfg.Node, path)
}

// storeRefusal is the refusal of an edge whose state could not be kept.
func (r *Receiver) storeRefusal(err error) *transfer.Error {
	if errors.Is(err, store.ErrNoSpace) {
		e := r.refuse(transfer.StateNoSpace, "", err)
		e.Hint = "free space in the target's state_dir"
		return e
	}
	if errors.Is(err, store.ErrClosed) {
		return errClosed
	}
	if stateOver(err) {
		return r.refuse(transfer.NodeStopping, "", err)
	}
	return r.refuse(transfer.Internal, "", err)
}

// fsMissing says that a path, or a part of it, does not exist.
func fsMissing(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR)
}
