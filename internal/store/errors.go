package store

import (
	"errors"
	"fmt"
	"path/filepath"
)

// ErrNoSpace says that the file system of the state directory has no room for
// a change. Nothing was written and the store goes on working.
var ErrNoSpace = errors.New("no space for state")

// ErrClosed is the error of a store or log that was closed.
var ErrClosed = errors.New("store is closed")

// LockedError says that another process uses the state directory.
type LockedError struct {
	Dir string
	PID int // 0 where it is not known
}

func (e *LockedError) Error() string {
	by := "another xferd"
	if e.PID > 0 {
		by = fmt.Sprintf("another xferd (pid %d)", e.PID)
	}
	return fmt.Sprintf("state directory %s is in use by %s: stop it, or give this one its own state_dir", e.Dir, by)
}

// FormatError says that the state was written by a newer version in a format
// that this one cannot read. Nothing was changed.
type FormatError struct {
	Dir       string
	Format    int    // of the state
	MinReader int    // the lowest format that a reader must know
	Known     int    // the highest format that this version knows
	WrittenBy string // the version that wrote it
}

func (e *FormatError) Error() string {
	by := e.WrittenBy
	if by == "" {
		by = "a newer version"
	}
	return fmt.Sprintf("state directory %s has format %d (written by xferd %s), which needs a reader of format %d, and this xferd knows %d: install that version or a newer one; nothing was changed",
		e.Dir, e.Format, by, e.MinReader, e.Known)
}

// ForeignError says that the state belongs to another node or cluster, as after
// a copy of the directory. Nothing was changed.
type ForeignError struct {
	Path string
	What string // "node" or "cluster"
	Have string // in the state
	Want string // of this daemon
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("state in %s belongs to %s %q and this is %s %q: set the old name again, or give this node an empty state_dir; nothing was changed",
		e.Path, e.What, e.Have, e.What, e.Want)
}

// DamagedError says that stored state is not what was written. The files are
// left as they are.
type DamagedError struct {
	Path   string
	Offset int64 // in the file, -1 where it is not known
	Detail string
	Err    error // the cause, where there is one

	panicked bool // bbolt panicked, and may hold its locks for ever
}

func (e *DamagedError) Error() string { return e.What() + "; " + e.Advice() }

// What says what is wrong, without what to do.
func (e *DamagedError) What() string {
	at := ""
	if e.Offset >= 0 {
		at = fmt.Sprintf(" at offset %d", e.Offset)
	}
	why := e.Detail
	if e.Err != nil {
		if why != "" {
			why += ": "
		}
		why += e.Err.Error()
	}
	return fmt.Sprintf("state file %s is damaged%s: %s", e.Path, at, why)
}

// OfLog reports whether it is the log of one transfer, and not the database. The
// node can do without it, and no backup has it.
func (e *DamagedError) OfLog() bool { return filepath.Ext(e.Path) == ".log" }

// Advice says what is lost, and what to do.
func (e *DamagedError) Advice() string {
	const rest = "'xferd state dump --logs' shows what can be read"
	switch {
	case !e.OfLog():
		return "keep the files, look with 'xferd state check' and 'xferd state dump', and put a backup in place with 'xferd state restore'"
	case filepath.Base(filepath.Dir(e.Path)) == string(Owner):
		return "only the list of what became of the entries of this one transfer is lost: files at the destination, its state and its counters are not, and no backup has this log; if the transfer is not over, cancel it and run the same command again; " + rest
	}
	return "only what this one transfer has noted of unfinished files is lost: files under their final names are whole, and no backup has this log; if the transfer is not over, cancel it and run the same command again; " + rest
}

func (e *DamagedError) Unwrap() error { return e.Err }

// FailedError is the error of everything that is asked of a store after a write
// or a sync failed. Err is the first failure.
type FailedError struct{ Err error }

func (e *FailedError) Error() string {
	return "state can no longer be written, restart xferd after mending the cause: " + e.Err.Error()
}

func (e *FailedError) Unwrap() error { return e.Err }

func damaged(path string, off int64, format string, args ...any) *DamagedError {
	return &DamagedError{Path: path, Offset: off, Detail: fmt.Sprintf(format, args...)}
}
