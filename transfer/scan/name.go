package scan

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

var kinds = [...]transfer.Kind{
	fsroot.Regular:   transfer.KindFile,
	fsroot.Directory: transfer.KindDir,
	fsroot.Symlink:   transfer.KindSymlink,
	fsroot.FIFO:      transfer.KindFIFO,
	fsroot.Socket:    transfer.KindSocket,
	fsroot.CharDev:   transfer.KindCharDevice,
	fsroot.BlockDev:  transfer.KindBlockDevice,
}

// name yields one name of directory d, or tells why not. only is what is wanted
// below it, nil for all. An error is one of the sink.
func (s *Scanner) name(d *Dir, dir *fsroot.Dir, name string, k fsroot.Kind, only *wanted) error {
	switch {
	case s.isMark(name):
		return s.inside(d, name)
	case isOwnTemp(name): // of a transfer into this tree: no file yet, or no more
		s.noEntry(d.Path(name), transfer.KindFile, transfer.OutcomeSkipped, nil)
		return nil
	case isTemp(name): // the target would refuse it; that must not pass in silence
		s.noEntry(d.Path(name), 0, transfer.OutcomeFailed, &transfer.Error{
			Reason: transfer.ReservedName, Side: transfer.SideSource, Phase: transfer.PhaseScan, Node: s.cfg.Node, Path: Place{Dir: d, Name: name}.Source(),
			Err: errReserved, Hint: "rename it, or exclude it",
		})
		return nil
	}
	filtered := !s.rules.Empty()
	known := k != 0 && (k != fsroot.Symlink || !s.spec.Follow)
	if filtered && known && s.rules.Excluded(d.Path(name), k == fsroot.Directory) {
		return nil
	}
	at := Place{Dir: d, Name: name}
	info, err := dir.Lstat(name)
	if err != nil {
		if !vanished(err) {
			s.totals.Failed++
		}
		s.noEntry(d.Path(name), 0, transfer.OutcomeFailed, s.failure(err, at))
		return nil
	}
	if s.spec.Follow && info.Kind == fsroot.Symlink {
		at.Follow = true
		if info, err = dir.FollowStat(name); err != nil {
			// The link is there: without an entry its copy must not be deleted.
			s.totals.Failed++
			e := s.failure(err, at)
			if e.Reason == transfer.SourceVanished { // what it points to was never found
				e.Reason, e.Hint = transfer.SourceNotFound, "the symbolic link points to nothing: leave it out with --exclude, or copy links as links, without -L"
			}
			s.noEntry(d.Path(name), transfer.KindSymlink, transfer.OutcomeFailed, e)
			return nil
		}
	}
	if filtered && !known && s.rules.Excluded(d.Path(name), info.Kind == fsroot.Directory) {
		return nil
	}
	if only != nil && !only.all && info.Kind != fsroot.Directory {
		s.totals.Failed++
		s.noEntry(d.Path(name), 0, transfer.OutcomeFailed, s.failure(syscall.ENOTDIR, at))
		return nil
	}
	f := &s.found
	*f = Found{Entry: transfer.Entry{Parent: d.number, Name: name}, At: at}
	return s.entry(f, dir, &info, only)
}

// entry completes and yields f, whose name, parent and place are set.
func (s *Scanner) entry(f *Found, dir *fsroot.Dir, info *fsroot.Info, only *wanted) error {
	// What was not asked for is an entry all the same, which the target skips:
	// it has to know the name, or a sync would delete what it has under it.
	path := f.Path
	fill(&f.Entry, info, s.spec.Preserve)
	if (info.Mtime == math.MaxInt64 || info.Mtime == math.MinInt64) && s.spec.Preserve.Has(transfer.PreserveTimes) {
		f.Lost |= transfer.PreserveTimes // beyond what our nanoseconds can say
	}
	if f.Kind == transfer.KindSymlink {
		target, err := dir.Readlink(f.At.Name)
		if err != nil {
			if !vanished(err) {
				s.totals.Failed++
			}
			s.noEntry(path(), f.Kind, transfer.OutcomeFailed, s.failure(err, f.At))
			return nil
		}
		f.Link = target
	}
	if f.Kind == transfer.KindDir {
		return s.directory(f, info, only)
	}
	if taken := s.take(f); taken != nil {
		return s.refuse(f, taken)
	}
	if info.Nlink > 1 && s.spec.Preserve.Has(transfer.PreserveHardlinks) && s.spec.Preserve.Asks(f.Kind) {
		s.linkUp(f, info)
	}
	if f.Kind == transfer.KindFile {
		s.readXattrs(f)
	}
	return s.yield(f)
}

// directory yields a directory and puts it on the queue.
func (s *Scanner) directory(f *Found, info *fsroot.Info, only *wanted) error {
	d := &Dir{parent: f.At.Dir, name: f.At.Name, follow: f.At.Follow, destName: f.Name, dev: info.Dev, ino: info.Ino}
	if only != nil && !only.all {
		d.only = only
	}
	if s.spec.Follow {
		for up := d.parent; up != nil; up = up.parent {
			if up.dev == info.Dev && up.ino == info.Ino {
				s.totals.Failed++
				s.noEntry(f.Path(), f.Kind, transfer.OutcomeFailed, s.failure(errLoop, f.At))
				return nil
			}
		}
	}
	d.closed = s.spec.OneFS && info.Dev != s.device
	s.dirXattrs(f, d)
	if taken := s.take(f); taken != nil {
		return s.refuse(f, taken)
	}
	if err := s.yield(f); err != nil {
		return err
	}
	d.number = f.Number
	s.queue = append(s.queue, d)
	return nil
}

var errLoop = fmt.Errorf("a followed symbolic link leads to a directory above it: %w", syscall.ELOOP)

// fill sets what a stat tells.
func fill(e *transfer.Entry, info *fsroot.Info, keep transfer.Preserve) {
	e.Kind = kinds[info.Kind]
	e.Print = PrintOf(info)
	e.Meta = transfer.Meta{Perm: info.Perm, UID: info.UID, GID: info.GID, Mtime: info.Mtime}
	e.Size, e.Flags = 0, 0
	switch info.Kind {
	case fsroot.Regular:
		e.Size = info.Size
		if keep.Has(transfer.PreserveSparse) && info.Sparse() {
			e.Flags = transfer.EntrySparse
		}
	case fsroot.CharDev, fsroot.BlockDev:
		e.Meta.Rdev = info.Rdev
	}
}

// linkUp makes f a hardlink when another name of its file was sent. Symbolic
// links and special files have several names as well.
func (s *Scanner) linkUp(f *Found, info *fsroot.Info) {
	id := fileID{info.Dev, info.Ino}
	l := s.links[id]
	if l == nil {
		l = &link{first: s.totals.Entries, left: info.Nlink - 1, name: f.Name}
		if f.At.Name != "" {
			l.dir = f.At.Dir
		}
		s.links[id] = l
		return
	}
	f.Kind, f.LinkTo, f.Link, f.Meta.Rdev = transfer.KindHardlink, l.first, "", 0
	f.first = l
	if s.spec.Follow {
		return // a followed link is a further name, which no count has
	}
	if l.left--; l.left == 0 {
		delete(s.links, id)
	}
}

// maxXattrs bounds the attributes of one entry, names and values, in bytes.
const maxXattrs = 64 << 10

// wantsXattrs reports whether attributes are to be read at all, so that a
// transfer that does not ask for them makes no system call for them.
func (s *Scanner) wantsXattrs() bool {
	return s.spec.Preserve&(transfer.PreserveXattrs|transfer.PreserveACLs) != 0
}

func (s *Scanner) wantsXattr(name string) bool {
	if strings.HasPrefix(name, "system.posix_acl_") {
		return s.spec.Preserve.Has(transfer.PreserveACLs)
	}
	return s.spec.Preserve.Has(transfer.PreserveXattrs)
}

// readXattrs takes the attributes of a file. What cannot be read is lost: the
// file itself may still be sent.
func (s *Scanner) readXattrs(f *Found) {
	if !s.wantsXattrs() {
		return
	}
	file, err := s.cfg.Dirs.OpenFile(f.At)
	if err != nil {
		s.lose(f)
		return
	}
	defer file.Close()
	s.keepXattrs(f, file)
}

func (s *Scanner) dirXattrs(f *Found, d *Dir) {
	if !s.wantsXattrs() {
		return
	}
	dir, err := s.cfg.Dirs.Open(d)
	if err != nil {
		s.lose(f)
		return
	}
	defer dir.Close()
	s.keepXattrs(f, dir)
}

func (s *Scanner) keepXattrs(f *Found, of interface {
	Xattrs(filter func(name string) bool) ([]fsroot.Xattr, error)
}) {
	all, err := of.Xattrs(s.wantsXattr)
	if err != nil {
		if !errors.Is(err, fsroot.ErrUnsupported) {
			s.lose(f)
		}
		return
	}
	size := 0
	for _, x := range all {
		if size += len(x.Name) + len(x.Value); size > maxXattrs {
			s.lose(f)
			return
		}
		f.Meta.Xattrs = append(f.Meta.Xattrs, transfer.Xattr{Name: x.Name, Value: x.Value})
	}
}

func (s *Scanner) lose(f *Found) {
	f.Lost |= s.spec.Preserve & (transfer.PreserveXattrs | transfer.PreserveACLs)
}
