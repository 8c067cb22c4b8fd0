package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	growStep   = 1 << 20 // bytes by which the database file grows
	pageSlack  = 16      // pages that a small transaction may touch besides
	pagesPerOp = 4       // pages that one change may rewrite, by the tree's depth
	spareSpace = 4 << 20 // left free where blocks cannot be reserved
)

// space finds room for a transaction before anything of it is written. It is
// used by the holder of the writer's token.
type space struct {
	db       *os.File // a second descriptor of the database file
	reserved int64    // the file has blocks up to here
	statfs   bool     // blocks cannot be reserved (copy on write): ask for free space
	reserve  int64    // size of the reserve file, 0 while it is used up
}

// open prepares it. Nothing here is fatal: without room the first transaction
// says so.
func (p *space) open(s *Store) {
	f, err := os.OpenFile(s.dbPath(), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		s.log.Warn("no space can be reserved for state", "dir", s.dir, "error", err)
		p.statfs = true
	}
	p.db = f
	var st unix.Statfs_t
	if unix.Statfs(s.dir, &st) == nil {
		switch uint32(st.Type) {
		case unix.BTRFS_SUPER_MAGIC, 0x2fc12fc1 /* zfs */, 0xca451a4e /* bcachefs */ :
			p.statfs = true
			s.copies.Store(true)
		}
	}
	p.refill(s)
}

func (p *space) close() {
	if p.db != nil {
		_ = p.db.Close()
		p.db = nil
	}
}

func reservePath(s *Store) string { return filepath.Join(s.dir, "reserve") }

// refill makes the reserve file anew, if there is room for it.
func (p *space) refill(s *Store) {
	if s.opt.Reserve <= 0 || p.reserve > 0 {
		return
	}
	f, err := os.OpenFile(reservePath(s), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return
	}
	err = s.ops.fallocate(f, 0, 0, s.opt.Reserve)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(reservePath(s))
		return
	}
	p.reserve = s.opt.Reserve
}

// ensure finds room for the pages that the transaction will write.
func (p *space) ensure(s *Store, tx *Tx, reserved bool) error {
	page := int64(s.db.Info().PageSize)
	need := 2*tx.bytes + int64(s.db.Stats().FreelistInuse) +
		page*int64(pageSlack+pagesPerOp*tx.writes)
	// bbolt grows the file to one page more than it uses.
	end := tx.btx.Size() + need + page
	var err error
	if end > p.reserved || p.statfs {
		err = p.find(s, end, need)
	}
	if err == nil {
		if !reserved {
			p.refill(s)
		}
		return nil
	}
	if !errors.Is(err, ErrNoSpace) || !reserved || p.reserve == 0 {
		return err
	}
	if rerr := os.Remove(reservePath(s)); rerr != nil {
		return errors.Join(err, rerr)
	}
	p.reserve = 0
	s.log.Warn("the reserved space of the state directory is in use: free space there", "dir", s.dir)
	return p.find(s, end, need)
}

func (p *space) find(s *Store, end, need int64) error {
	if !p.statfs {
		err := p.allocate(s, end+growStep)
		if isNoSpace(err) {
			err = p.allocate(s, end) // as much as must be
		}
		switch {
		case err == nil:
			return nil
		case isNoSpace(err):
			return s.setFull(fmt.Errorf("%w in %s: %w", ErrNoSpace, s.dir, err))
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
			p.statfs = true
		default:
			return s.fail(fmt.Errorf("reserve space for %s: %w", s.dbPath(), err))
		}
	}
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(s.dir, &st) }); err != nil {
		return s.fail(fmt.Errorf("state directory %s: %w", s.dir, err))
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < need+spareSpace {
		return s.setFull(fmt.Errorf("%w in %s: %d bytes are free", ErrNoSpace, s.dir, free))
	}
	return nil
}

// allocate gives the database file blocks up to end. The file gets that size,
// which spares bbolt growing it with holes.
func (p *space) allocate(s *Store, end int64) error {
	if err := s.ops.fallocate(p.db, 0, 0, end); err != nil {
		return err
	}
	p.reserved = end
	return nil
}

func isNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
