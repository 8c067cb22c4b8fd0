package scan

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/filter"
)

// TempPrefix starts the names of our own temporary files, which are never sent.
const TempPrefix = ".xferd."

// Found is an entry and where its source is. The callee of Sink.Entry may keep
// copies of all of it.
type Found struct {
	transfer.Entry
	At       Place
	Assembly *Assembly // instead of At, for an assembled file
	// Lost is what could not be read of what was asked to be preserved.
	Lost transfer.Preserve

	first *link // of a hard link
}

// LinkTarget returns what a symbolic link points to, or the path of the entry
// that a hard link is another name of, as Path. Other entries have none.
func (f *Found) LinkTarget() string {
	switch {
	case f.Kind == transfer.KindSymlink:
		return f.Link
	case f.first != nil:
		return f.first.path()
	}
	return ""
}

// Source returns where the entry is at its source, for messages: an absolute path,
// or that of the entry where it is assembled of pieces of several.
func (f *Found) Source() string {
	if f.Assembly != nil || f.At.Dir == nil {
		return f.Path()
	}
	return f.At.Source()
}

// Path returns the entry's path relative to the destination.
func (f *Found) Path() string {
	switch {
	case f.Kind == transfer.KindEndDir:
		return f.At.Dir.path
	case f.At.Name == "": // a source directory, or an assembled file
		return f.Name
	}
	return f.At.Dir.Path(f.Name)
}

// Sink takes what a scan finds, from one goroutine.
type Sink interface {
	// Entry takes the next entry. It may block; an error ends the scan.
	Entry(*Found) error
	// NoEntry tells of a name that gets no entry, since it failed or is skipped.
	NoEntry(transfer.Result)
}

// Totals are what a scan found.
type Totals struct {
	Entries uint64
	// Failed is the number of errors that leave the manifest incomplete: with
	// any, nothing may be deleted.
	Failed int64
}

// Config is what a Scanner works with.
type Config struct {
	Node    transfer.NodeID // for messages
	Exports *fsroot.Exports
	Dirs    *Dirs
	Sources Sources // the regions that pieces are of
	// Mark is looked for in the sources, if the target leaves one.
	Mark transfer.DestMark
}

// Scanner walks the sources of one Spec. Run is called once; the other methods
// may be called by many goroutines, also while it runs.
type Scanner struct {
	cfg   Config
	spec  *transfer.Spec
	rules *filter.Set
	files *wanted          // of FilesFrom, nil without
	sizes map[string]int64 // that sources had when Pack looked, by path
	roots []root

	// of Run
	sink   Sink
	totals Totals
	queue  []*Dir // directories to read, last first
	links  map[fileID]*link
	claims claims // nil where no two sources can have a name in common
	root   int    // the source that is walked
	device uint64 // of the source, with OneFS
	found  Found  // handed to the sink, used again
}

type fileID struct{ dev, ino uint64 }

// link is a file with several names, the first of which was sent.
type link struct {
	first uint64
	left  uint32 // names not seen
	// Where the first one is. The path itself would be much larger.
	dir  *Dir // nil: name is the path
	name string
}

func (l *link) path() string {
	if l.dir == nil {
		return l.name
	}
	return l.dir.Path(l.name)
}

// New checks the sources of a spec and finds their exports. It does not look
// whether they exist: that is Run's.
func New(cfg Config, spec *transfer.Spec) (*Scanner, error) {
	rules, err := filter.New(spec.Filters)
	if err != nil {
		return nil, specError(cfg.Node, "", err)
	}
	s := &Scanner{cfg: cfg, spec: spec, rules: rules, links: make(map[fileID]*link)}
	if spec.Mode == transfer.ModeAssemble {
		return s, s.checkPieces()
	}
	if len(spec.Sources) == 0 {
		return nil, specError(cfg.Node, "", errors.New("there is no source"))
	}
	if len(spec.Sources) > 1 && spec.DestMode == transfer.DestExact {
		return nil, specError(cfg.Node, "", errors.New("several sources need a destination directory to go into"))
	}
	if len(spec.FilesFrom) > 0 {
		if len(spec.Sources) > 1 {
			return nil, specError(cfg.Node, "", errors.New("a list of files needs exactly one source"))
		}
		if s.files, err = parseWanted(spec.FilesFrom); err != nil {
			return nil, specError(cfg.Node, "", err)
		}
	}
	return s, s.resolve()
}

func specError(node transfer.NodeID, path string, err error) *transfer.Error {
	return &transfer.Error{Reason: transfer.InvalidSpec, Side: transfer.SideSource, Phase: transfer.PhaseSubmit, Node: node, Path: path, Err: err}
}

// SourceError gives an error of fsroot at the source its reason.
func SourceError(err error, phase transfer.Phase, node transfer.NodeID, path string) *transfer.Error {
	side := func(r transfer.Reason, hint string) *transfer.Error {
		return &transfer.Error{Reason: r, Side: transfer.SideSource, Phase: phase, Node: node, Path: path, Err: err, Hint: hint}
	}
	switch {
	case errors.Is(err, fsroot.ErrNotExported):
		return side(transfer.PathNotAllowed, "name a path inside an export of the node")
	case errors.Is(err, fsroot.ErrBadPath):
		return side(transfer.BadPath, "")
	case errors.Is(err, fsroot.ErrNotRegular):
		return side(transfer.SourceNotRegular, "")
	}
	return transfer.SourceError(err, phase, node, path)
}

// Run walks all sources. It returns an error when the sink or ctx ends it, or
// when there is nothing at all to be found: the one source, or every source,
// is missing. Everything else is told to the sink and counted.
func (s *Scanner) Run(ctx context.Context, sink Sink) (Totals, error) {
	s.sink = sink
	if s.spec.Mode == transfer.ModeAssemble {
		err := s.assemble()
		return s.totals, err
	}
	if err := s.checkAbove(); err != nil {
		return s.totals, err
	}
	var first error
	missing := 0
	s.claims = newClaims(s.roots)
	for i := range s.roots {
		s.root = i
		err := s.enterRoot(&s.roots[i])
		if e, ok := errors.AsType[*rootError](err); ok {
			if missing++; missing == len(s.roots) {
				if first == nil {
					first = e.err
				}
				return s.totals, first
			}
			if first == nil {
				first = e.err
			}
			s.totals.Failed++
			s.noEntry(s.roots[i].destName, 0, transfer.OutcomeFailed, e.err)
			continue
		}
		for err == nil && len(s.queue) > 0 {
			if err = context.Cause(ctx); err != nil {
				break
			}
			last := len(s.queue) - 1
			d := s.queue[last]
			s.queue[last] = nil
			s.queue = s.queue[:last]
			err = s.readDir(ctx, d)
		}
		if err != nil {
			return s.totals, err
		}
	}
	return s.totals, nil
}

// readDir yields the children of d and its end.
func (s *Scanner) readDir(ctx context.Context, d *Dir) error {
	if d.parent != nil {
		d.path = d.parent.Path(d.destName)
	} else {
		d.path = d.destName
	}
	before := s.totals.Failed
	complete := !d.closed && d.only == nil
	if !d.closed {
		if err := s.readNames(ctx, d); err != nil {
			e, ok := errors.AsType[*dirError](err)
			if !ok {
				return err
			}
			s.totals.Failed++
			s.noEntry(d.path, transfer.KindDir, transfer.OutcomeFailed, s.failure(e.err, Place{Dir: d}))
		}
	}
	end := Found{Entry: transfer.Entry{Parent: d.number, Kind: transfer.KindEndDir}, At: Place{Dir: d}}
	if !complete || s.totals.Failed > before {
		end.Flags = transfer.EntryFailed
	}
	return s.yield(&end)
}

// dirError is a failure to read a directory, apart from one of the sink.
type dirError struct{ err error }

func (e *dirError) Error() string { return e.err.Error() }

func (s *Scanner) readNames(ctx context.Context, d *Dir) error {
	dir, err := s.cfg.Dirs.Open(d)
	if err != nil {
		return &dirError{err}
	}
	defer dir.Close()
	if err := s.checkIn(d, dir); err != nil {
		return err
	}
	if d.only != nil {
		return s.readWanted(d, dir)
	}
	var inner error // of name: it must not be mistaken for one of the directory
	n := 0
	err = dir.ReadDir(func(name string, k fsroot.Kind) error {
		if n++; n%1024 == 0 {
			if inner = context.Cause(ctx); inner != nil {
				return inner
			}
		}
		inner = s.name(d, dir, name, k, nil)
		return inner
	})
	if inner != nil {
		return inner
	}
	if err != nil {
		return &dirError{err}
	}
	return nil
}

// failure makes the error of a name during the scan.
func (s *Scanner) failure(err error, at Place) *transfer.Error {
	return SourceError(err, transfer.PhaseScan, s.cfg.Node, at.Source())
}

// noEntry tells of a name without an entry.
func (s *Scanner) noEntry(path string, k transfer.Kind, o transfer.Outcome, err *transfer.Error) {
	s.sink.NoEntry(transfer.Result{Entry: transfer.NoEntry, Path: path, Kind: k, Outcome: o, Err: err})
}

// yield numbers an entry and hands it over.
func (s *Scanner) yield(f *Found) error {
	f.Number = s.totals.Entries
	if err := s.sink.Entry(f); err != nil {
		return err
	}
	s.totals.Entries++
	return nil
}

// vanished tells a name that is gone from one that cannot be looked at. The
// first was removed at the source in the meantime, so its copy may go too.
func vanished(err error) bool { return errors.Is(err, syscall.ENOENT) }

func isTemp(name string) bool { return strings.HasPrefix(name, TempPrefix) }

var errReserved = fmt.Errorf("names that start with %q are xferd's own", TempPrefix)

// isOwnTemp reports whether a name is one that a receiver gives to a temp: the
// prefix, the transfer's uid in 32 hex digits, a dot, and more.
func isOwnTemp(name string) bool {
	rest, ok := strings.CutPrefix(name, TempPrefix)
	if !ok || len(rest) < 34 || rest[32] != '.' {
		return false
	}
	for _, c := range []byte(rest[:32]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
