package store

import (
	"context"
	"errors"
	"slices"
	"sync"

	bolt "go.etcd.io/bbolt"

	"github.com/xferd/xferd/internal/failpoint"
)

const maxGroup = 128 // updates that share a transaction at most

// request is one caller of Update.
type request struct {
	fn       func(*Tx) error
	reserved bool // may use the reserve
	done     chan struct{}
	err      error
	panicked any
}

func (r *request) finish(err error) {
	r.err = err
	close(r.done)
}

type requestQueue struct {
	mu   sync.Mutex
	list []*request
}

func (q *requestQueue) push(r *request) {
	q.mu.Lock()
	q.list = append(q.list, r)
	q.mu.Unlock()
}

// withdraw takes a request back, false when it is running already.
func (q *requestQueue) withdraw(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.list, r)
	if i < 0 {
		return false
	}
	q.list = slices.Delete(q.list, i, i+1)
	return true
}

func (q *requestQueue) take() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.list), maxGroup)
	group := slices.Clone(q.list[:n])
	q.list = slices.Delete(q.list, 0, n)
	return group
}

// Update runs fn in a transaction and returns when its changes are durable.
// Callers that come while another transaction is being written share the next
// one; a lone caller starts at once. fn may run more than once and must do
// nothing but change tables; it must not call Update or View. Its error undoes
// its changes, alone, and is returned. After ctx ended nothing was changed, as
// long as that is what the error says: a transaction that has begun is waited for.
func (s *Store) Update(ctx context.Context, fn func(tx *Tx) error) error {
	return s.update(ctx, &request{fn: fn, done: make(chan struct{})})
}

// UpdateReserved is Update for changes that end work or free space (a cancel, a
// terminal state, a removal): it may use the space that is kept in reserve.
func (s *Store) UpdateReserved(ctx context.Context, fn func(tx *Tx) error) error {
	return s.update(ctx, &request{fn: fn, done: make(chan struct{}), reserved: true})
}

func (s *Store) update(ctx context.Context, r *request) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.queue.push(r)
	for {
		select {
		case <-r.done:
			if r.panicked != nil {
				panic(r.panicked)
			}
			return r.err
		case s.writer <- struct{}{}:
			s.runGroup(s.queue.take())
			<-s.writer
		case <-ctx.Done():
			if s.queue.withdraw(r) {
				return ctx.Err()
			}
			ctx = context.WithoutCancel(ctx) // it runs: learn how it ends
		}
	}
}

// runGroup carries out the requests in one transaction, and each of those that
// cannot share it in its own. The caller holds the writer's token.
func (s *Store) runGroup(group []*request) {
	var alone []*request
	for len(group) > 0 {
		if err := s.usable(); err != nil {
			finishAll(append(group, alone...), err)
			return
		}
		i, err := s.runTx(group, false)
		if i < 0 && (err == nil || len(group) == 1 && !group[0].reserved || !errors.Is(err, ErrNoSpace)) {
			finishAll(group, err)
			break
		}
		if i < 0 { // no space for all together
			alone = append(alone, group...)
			break
		}
		// Its error may come from what the others did, which is undone now. Only
		// in a transaction of its own it is known to be true.
		alone = append(alone, group[i])
		group = slices.Delete(group, i, i+1)
	}
	for _, r := range alone {
		err := s.usable()
		if err == nil {
			_, err = s.runTx([]*request{r}, r.reserved)
		}
		r.finish(err)
	}
}

func finishAll(rs []*request, err error) {
	for _, r := range rs {
		r.finish(err)
	}
}

// runTx runs one transaction. When the function of a request fails, everything
// is undone and its index is returned, else -1.
func (s *Store) runTx(group []*request, reserved bool) (failed int, err error) {
	var btx *bolt.Tx
	err = guard(s.dbPath(), func() (err error) {
		btx, err = s.db.Begin(true)
		return err
	})
	if err != nil {
		return -1, s.wedge(err)
	}
	tx := &Tx{s: s, btx: btx}
	for i, r := range group {
		err := r.run(tx)
		if tx.broken != nil {
			return -1, s.wedge(errors.Join(tx.broken, guard(s.dbPath(), btx.Rollback)))
		}
		if err != nil || r.panicked != nil {
			if rerr := guard(s.dbPath(), btx.Rollback); rerr != nil {
				return -1, s.wedge(rerr)
			}
			return i, err
		}
	}
	if tx.writes == 0 {
		if err := guard(s.dbPath(), btx.Rollback); err != nil {
			return -1, s.wedge(err)
		}
		return -1, nil
	}
	if err := tx.finish(); err != nil {
		return -1, s.wedge(errors.Join(err, guard(s.dbPath(), btx.Rollback)))
	}
	if err := s.space.ensure(s, tx, reserved); err != nil {
		if rerr := guard(s.dbPath(), btx.Rollback); rerr != nil {
			return -1, s.wedge(rerr)
		}
		return -1, err
	}
	failpoint.Hit("store/commit")
	if err := guard(s.dbPath(), func() error { return s.ops.commit(btx) }); err != nil {
		return -1, s.wedge(err)
	}
	failpoint.Hit("store/committed")
	return -1, nil
}

// wedge fails the store after a transaction of which it is not known what
// happened. When bbolt panicked in it, it is never closed: that could wait for
// a lock that nobody holds.
func (s *Store) wedge(err error) error {
	if d, ok := errors.AsType[*DamagedError](err); ok && d.panicked {
		s.mu.Lock()
		s.wedged = true
		s.mu.Unlock()
	}
	return s.fail(err)
}

// run calls the function. A panic in it belongs to its own caller.
func (r *request) run(tx *Tx) error {
	r.panicked = nil
	defer func() { r.panicked = recover() }()
	return r.fn(tx)
}
