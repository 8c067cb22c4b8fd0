package lifecycle

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/manifest"
)

// The results of a transfer's entries are in an append-only log. Every attempt
// begins with a mark and reports all entries again, so a reader passes over
// what earlier attempts said, but for what they published or deleted: the
// later ones found that to be the same.
const (
	resultsLog   = "results"
	frameResult  = 1
	frameAttempt = 2
	flushResults = 512
	// heldResults is how many may wait for room in the state directory.
	heldResults = 1 << 16
)

// published counts entries that came to be, by kind.
type published struct {
	files, dirs, links int64
	bytes              int64 // of the files
}

// made are the changes by which a directory or link comes to be, and not only
// its metadata.
const made = transfer.ChangeNew | transfer.ChangeType | transfer.ChangeTarget | transfer.ChangeContent

func (p *published) add(r *transfer.Result) {
	switch {
	case r.Kind.HasBytes():
		p.files++
		p.bytes += r.Bytes
	case r.Change&made == 0: // at most its metadata was mended
	case r.Kind == transfer.KindDir:
		p.dirs++
	default:
		p.links++
	}
}

// closing reports whether a result says only that a directory's entries were all
// seen. That is nothing that a user asked for: the directory has a result of its
// own. One that failed is told.
func closing(r *transfer.Result) bool {
	return r.Kind == transfer.KindEndDir && r.Outcome != transfer.OutcomeFailed
}

// sharedLog is a job's results log, opened once for all who use it at a time:
// opening it a second time while it grows would take a frame that is being
// written for a torn one.
type sharedLog struct {
	mu   sync.Mutex
	log  *store.Log
	refs int
	last int64 // offset of the latest attempt's mark; 0: not known
}

// lastAttempt returns where the latest attempt begins. The log is read for it
// once in the life of a process.
func (l *sharedLog) lastAttempt(log *store.Log) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last != 0 {
		return l.last, nil
	}
	err := log.Read(0, func(off int64, typ uint8, _ []byte) error {
		if typ == frameAttempt {
			l.last = off
		}
		return nil
	})
	return l.last, err
}

func (l *sharedLog) setLast(off int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = off
}

// acquire opens the log; make says whether to make it. The caller releases.
func (l *sharedLog) acquire(s *store.Store, uid transfer.UID, create bool) (*store.Log, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refs == 0 {
		log, err := s.OpenLog(store.Owner, uid.String(), resultsLog)
		if errors.Is(err, fs.ErrNotExist) && create {
			log, err = s.CreateLog(store.Owner, uid.String(), resultsLog)
		}
		if err != nil {
			return nil, err
		}
		l.log = log
	}
	l.refs++
	return l.log, nil
}

func (l *sharedLog) release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refs--; l.refs > 0 {
		return nil
	}
	return l.log.Close()
}

// results writes the log of one attempt. Safe for concurrent use.
type results struct {
	shared *sharedLog
	log    *store.Log
	// earlier holds the hashes of the paths that earlier attempts published,
	// some 20 bytes each; empty in the first attempt.
	earlier map[uint64]struct{}
	// before counts what they published. The log is the truth: the counters of
	// the stored transfer may be older, after a crash.
	before published

	mu      sync.Mutex
	pending []store.Frame
	err     error // of a write; ends the attempt
}

func openResults(shared *sharedLog, s *store.Store, uid transfer.UID) (*results, error) {
	log, err := shared.acquire(s, uid, true)
	if err != nil {
		return nil, err
	}
	r := &results{shared: shared, log: log, earlier: map[uint64]struct{}{}}
	err = log.Read(0, func(_ int64, typ uint8, payload []byte) error {
		if typ != frameResult {
			return nil
		}
		res, _, err := manifest.DecodeResult(payload)
		if err == nil && res.Outcome == transfer.OutcomePublished {
			key := xxh3.HashString(res.Path)
			if _, again := r.earlier[key]; !again {
				r.before.add(&res)
			}
			r.earlier[key] = struct{}{}
		}
		return err
	})
	if err == nil {
		var off int64
		off, err = log.Append(frameAttempt, nil)
		shared.setLast(off)
	}
	if err != nil {
		return nil, errors.Join(err, shared.release())
	}
	return r, nil
}

// published reports whether an earlier attempt published the path.
func (r *results) published(path string) bool {
	_, ok := r.earlier[xxh3.HashString(path)]
	return ok
}

// add appends a result, with a write every few hundred.
func (r *results) add(res *transfer.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, store.Frame{Type: frameResult, Payload: manifest.AppendResult(nil, res)})
	if len(r.pending)%flushResults == 0 {
		_ = r.flushLocked() // told by settle
	}
}

// flushLocked writes what is pending. Where there is no room for it, it stays so, up
// to a bound: the next flush may find room.
func (r *results) flushLocked() error {
	for r.err == nil && len(r.pending) > 0 {
		n := min(len(r.pending), flushResults)
		_, err := r.log.AppendBatch(r.pending[:n])
		if errors.Is(err, store.ErrNoSpace) && len(r.pending) < heldResults {
			return err
		}
		r.err = err
		r.pending = append(r.pending[:0], r.pending[n:]...)
	}
	if r.err != nil {
		r.pending = nil
	}
	return r.err
}

// flush writes what is pending, so that readers see it.
func (r *results) flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flushLocked()
}

// failed says that results are lost to the log, for good.
func (r *results) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err != nil
}

// settle makes the results durable. After an error that is store.ErrNoSpace it may be
// called again, unless failed.
func (r *results) settle() error {
	if err := r.flush(); err != nil {
		return err
	}
	return r.log.Sync(context.Background())
}

// close makes the results durable, and gives the log back.
func (r *results) close() error {
	return errors.Join(r.settle(), r.shared.release())
}

// Entries returns a page of results; see server.Engine. The cursor is the
// offset of the frame to go on with.
func (e *Engine) Entries(_ context.Context, id string, q transfer.EntryQuery, after uint64, limit int) ([]transfer.Result, uint64, error) {
	j, err := e.job(id)
	if err != nil {
		return nil, 0, err
	}
	t := j.current()
	log, err := j.results.acquire(e.cfg.Store, t.UID, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil // it has not run yet
	}
	if err != nil {
		return nil, 0, storeError(err, e.cfg.Node)
	}
	defer j.results.release()

	last, err := j.results.lastAttempt(log)
	if err != nil {
		return nil, 0, storeError(err, e.cfg.Node)
	}
	var out []transfer.Result
	var next uint64
	stop := errors.New("page is full")
	err = log.Read(int64(after), func(off int64, typ uint8, payload []byte) error {
		if typ != frameResult {
			return nil
		}
		res, _, err := manifest.DecodeResult(payload)
		if err != nil {
			return err
		}
		if off < last && res.Outcome != transfer.OutcomePublished && res.Outcome != transfer.OutcomeDeleted || closing(&res) || !q.Match(&res) {
			return nil
		}
		if len(out) == limit {
			next = uint64(off)
			return stop
		}
		out = append(out, res)
		return nil
	})
	if err != nil && !errors.Is(err, stop) {
		return nil, 0, storeError(err, e.cfg.Node)
	}
	return out, next, nil
}
