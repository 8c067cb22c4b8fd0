package receiver

import (
	"sync"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// deviceLocks are mutexes by the device number of a file system. What takes one does
// I/O there while it has it: a file system that does not answer holds up those alone
// who come to the same one. Nobody takes two of them at a time.
type deviceLocks struct {
	mu   sync.Mutex
	used map[uint64]*deviceLock
}

type deviceLock struct {
	sync.Mutex
	users int // that have it or wait for it
}

// lock waits for the mutex of a device, and returns how to give it back.
func (d *deviceLocks) lock(dev uint64) (unlock func()) {
	d.mu.Lock()
	l := d.used[dev]
	if l == nil {
		if d.used == nil {
			d.used = map[uint64]*deviceLock{}
		}
		l = &deviceLock{}
		d.used[dev] = l
	}
	l.users++
	d.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		d.mu.Lock()
		defer d.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(d.used, dev)
		}
	}
}

// lockDest resolves a destination and keeps others from opening one of the same file
// system, until unlock is called. dest.id says already where it was found.
func (r *Receiver) lockDest(d *dest, names map[string]bool) (unlock func(), err error) {
	for {
		dev := d.id.Dev
		unlock = r.opening.lock(dev)
		d.lock, err = newCover(d.root, d.rel, names, true)
		if d.id = d.lock.root; err == nil && d.id.Dev == dev {
			return unlock, nil
		}
		unlock()
		if err != nil {
			return nil, err
		}
	}
}

// lockTransfer is lockDest of a transfer that has its destination locked here. It
// returns nil where there is none.
func (r *Receiver) lockTransfer(uid transfer.UID) (unlock func()) {
	for {
		dev, ok := r.deviceOf(uid)
		if !ok {
			return nil
		}
		unlock = r.opening.lock(dev)
		if now, ok := r.deviceOf(uid); ok && now == dev {
			return unlock
		}
		unlock()
	}
}

// deviceOf returns the file system of the destination of a transfer.
func (r *Receiver) deviceOf(uid transfer.UID) (dev uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.locks[uid]
	if l == nil {
		return 0, false
	}
	return l.where.root.Dev, true
}

// lockBase identifies a directory that is to be made where it is missing. Until unlock
// is called nobody removes those on the way to it; dev is where it may be.
func (r *Receiver) lockBase(root *fsroot.Root, rel string, dev uint64) (id identity, unlock func(), err error) {
	for {
		unlock = r.making.lock(dev)
		id, err = identify(root, rel, false)
		if err == nil && id.Dev == dev {
			return id, unlock, nil
		}
		unlock()
		if err != nil {
			return id, nil, err
		}
		dev = id.Dev
	}
}
