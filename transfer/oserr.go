package transfer

import (
	"context"
	"errors"
	"syscall"

	"github.com/xferd/xferd/internal/fsroot"
)

// FSEscape is the error of a path that leaves its export.
var FSEscape = fsroot.ErrEscapes

// SourceError gives an error of the source's file system its reason. An Error
// stays as it is.
func SourceError(err error, phase Phase, node NodeID, path string) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Reason: SourceIOError, Side: SideSource, Phase: phase, Node: node, Path: path, Err: err}
	switch {
	case errors.Is(err, context.Canceled):
		e.Reason = Cancelled
	case errors.Is(err, FSEscape):
		e.Reason, e.Hint = PathEscapesRoot, "the path goes through a symbolic link that leaves the export; copy the link's target by its own path"
	case errors.Is(err, fsroot.ErrBadPath):
		e.Reason, e.Hint = BadPath, "the path is too long or too deep: copy a directory of it by its own path"
	case errors.Is(err, syscall.ENOENT):
		e.Reason = SourceVanished
		if phase == PhaseSubmit || phase == PhaseConnect {
			e.Reason = SourceNotFound
		}
	case errors.Is(err, syscall.ENOTDIR) && phase == PhaseSubmit:
		// A path was looked up by its name: the last one cannot be meant.
		e.Reason, e.Hint = SourceNotFound, "a name in the path before the last one is no directory"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		e.Reason, e.Hint = SourcePermission, "let the user that xferd runs as read it"
	case errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		e.Reason = SourceNotRegular
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		e.Reason, e.Hint = LocalFDLimit, "raise LimitNOFILE of the xferd unit"
	case errors.Is(err, syscall.ELOOP):
		e.Reason = SourceNotRegular
	}
	return e
}

// DestError gives an error of the target's file system its reason. An Error
// stays as it is.
func DestError(err error, phase Phase, node NodeID, path string) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Reason: DestIOError, Side: SideTarget, Phase: phase, Node: node, Path: path, Err: err}
	switch {
	case errors.Is(err, context.Canceled):
		e.Reason = Cancelled
	case errors.Is(err, FSEscape):
		e.Reason, e.Hint = PathEscapesRoot, "the path goes through a symbolic link that leaves the export"
	case errors.Is(err, fsroot.ErrBadPath):
		e.Reason, e.Hint = BadPath, "the path is too long or too deep: copy to a shorter one"
	case errors.Is(err, syscall.ENOSPC):
		e.Reason, e.Hint = DestNoSpace, "free space at the destination and run the same command again: what is there is not sent again, and a file that did not fit begins anew"
	case errors.Is(err, syscall.EDQUOT):
		e.Reason, e.Hint = DestQuota, "raise the quota or free space, and run the same command again"
	case errors.Is(err, syscall.EROFS):
		e.Reason, e.Hint = DestReadOnly, "the file system is mounted read-only"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		e.Reason, e.Hint = DestPermission, "let the user that xferd runs as write there"
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.EEXIST):
		e.Reason, e.Hint = DestTypeConflict, "remove what is in the way, or allow it with --force"
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ESTALE):
		e.Reason, e.Hint = DestDirGone, "the destination directory was removed while the transfer ran"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		e.Reason, e.Hint = LocalFDLimit, "raise LimitNOFILE of the xferd unit"
	case errors.Is(err, syscall.ELOOP):
		e.Reason = DestTypeConflict
	case errors.Is(err, syscall.EFBIG):
		e.Reason, e.Hint = DestNoSpace, "the file is larger than the destination's file system allows"
	}
	return e
}
