package receiver

import (
	"context"
	"sync"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/transfer"
)

// Bounds of a batch.
const (
	maxBatchFiles = 512
	maxBatchDirs  = 128 // they are open meanwhile
	maxBatchBytes = 64 << 20
)

// maxQueued is how many entries may wait for the publishers before the streams
// do: their temps are open.
const maxQueued = 1024

// publisher brings what is complete under its final names, in batches, so that
// syncing goes on beside receiving and is paid once for many files.
type publisher struct {
	e  *edge
	wg sync.WaitGroup

	mu     sync.Mutex
	cond   *sync.Cond
	queue  []*file
	busy   int  // publishers that have a batch
	closed bool // take nothing more
	drop   bool // publish nothing more but what is decided
}

func newPublisher(e *edge) *publisher {
	p := &publisher{e: e}
	p.cond = sync.NewCond(&p.mu)
	n := 1
	if e.opt.durable() {
		n = 2 // one syncs while the other fills
	}
	for range n {
		p.wg.Go(p.run)
	}
	return p
}

// add queues entries in phasePublish. It does not wait.
func (p *publisher) add(list ...*file) {
	p.mu.Lock()
	p.queue = append(p.queue, list...)
	p.mu.Unlock()
	p.cond.Broadcast()
}

// wait waits while too much is queued.
func (p *publisher) wait(ctx context.Context) {
	p.mu.Lock()
	full := len(p.queue) > maxQueued
	p.mu.Unlock()
	if !full {
		return
	}
	stop := context.AfterFunc(ctx, p.cond.Broadcast)
	defer stop()
	p.mu.Lock()
	for len(p.queue) > maxQueued && !p.closed && ctx.Err() == nil {
		p.cond.Wait()
	}
	p.mu.Unlock()
}

func (p *publisher) run() {
	for {
		batch := p.take()
		if batch == nil {
			return
		}
		for _, it := range p.e.publishBatch(batch) {
			p.e.fail(it.file, it.err)
		}
		p.mu.Lock()
		p.busy--
		p.mu.Unlock()
		p.cond.Broadcast()
	}
}

// take waits for work and returns the next batch, nil after stop.
func (p *publisher) take() []*file {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) == 0 {
		if p.closed {
			return nil
		}
		p.cond.Wait()
	}
	n, dirs, size := 0, 0, int64(0)
	for n < len(p.queue) && n < maxBatchFiles && size < maxBatchBytes {
		if n == 0 || p.queue[n].dir != p.queue[n-1].dir {
			if dirs++; dirs > maxBatchDirs {
				break
			}
		}
		size += p.queue[n].e.Size
		n++
	}
	batch := p.queue[:n:n]
	p.queue = p.queue[n:]
	if len(p.queue) == 0 {
		p.queue = nil
	}
	p.busy++
	p.cond.Broadcast() // whoever waits for room
	return batch
}

// idle waits until nothing is queued or in work.
func (p *publisher) idle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 || p.busy > 0 {
		p.cond.Wait()
	}
}

// stop ends the publishers and waits for them. With drop, what is not decided is
// left as it is; otherwise it is published first.
func (p *publisher) stop(drop bool) {
	p.mu.Lock()
	if drop {
		p.queue = nil
	}
	p.closed, p.drop = true, drop
	p.mu.Unlock()
	p.cond.Broadcast()
	p.wg.Wait()
}

// dropping says that nothing is to be published that is not decided.
func (p *publisher) dropping() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drop
}

// item is an entry in a batch.
type item struct {
	*file
	dir  heldDir
	res  transfer.Result
	err  *transfer.Error // it failed
	skip bool            // it has its result without a rename
}

// publishBatch takes a batch through R4 to R12. Each entry ends with a result, but
// those that it returns: they failed in a way that a fresh attempt may mend.
func (e *edge) publishBatch(files []*file) (failed []failedFile) {
	items := make([]item, len(files))
	unwanted := false
	defer func() {
		for i := range items {
			if items[i].dir.Dir != nil {
				items[i].dir.Close()
			}
			if t := items[i].temp; t != nil && !unwanted {
				_ = t.close()
			}
		}
	}()
	for i, f := range files {
		items[i] = item{file: f, res: e.result(f, transfer.OutcomePublished)}
	}
	failpoint.Hit("receiver/batch")
	e.holdDirs(items)
	if err := e.journalTemps(items); err != nil {
		e.abandonBatch(items, err)
		return nil
	}
	e.eachItem(items, transfer.PhaseWrite, e.fill)
	if e.opt.Verify == transfer.VerifyStore {
		e.eachItem(items, transfer.PhaseVerify, e.readBack)
	}
	if e.opt.Digest != "" {
		e.eachItem(items, transfer.PhaseVerify, e.digestTemp)
	}
	failpoint.Hit("receiver/filled")
	if e.opt.durable() {
		e.syncFiles(items)
	}
	failpoint.Hit("receiver/files-synced")
	if e.opt.Verify == transfer.VerifyMedia {
		e.eachItem(items, transfer.PhaseVerify, e.readMedia)
	}
	// The last look: from here on the files of the batch are decided.
	if unwanted = e.pub.dropping(); unwanted {
		e.leaveBatch(items)
		return nil
	}
	if e.opt.durable() {
		if err := e.journalCommitting(items); err != nil {
			e.abandonBatch(items, err)
			return nil
		}
	}
	failpoint.Hit("receiver/committing")
	e.checkDirs(items)
	seen := e.fsErrors.seen()
	e.eachItem(items, transfer.PhasePublish, e.rename)
	failpoint.Hit("receiver/all-renamed")
	if e.opt.durable() {
		e.syncDirs(items, seen)
	}
	failpoint.Hit("receiver/dirs-synced")
	e.removeFailed(items)
	if err := e.journalCommitted(items); err != nil {
		e.abandonBatch(items, err)
		return nil
	}
	failpoint.Hit("receiver/committed")
	results := make([]transfer.Result, 0, len(items))
	for i := range items {
		switch it := &items[i]; {
		case it.err == nil:
			results = append(results, it.res)
		case e.mayBeginAnew(it.file, it.err):
			failed = append(failed, failedFile{it.file, it.err})
		default:
			results = append(results, e.failure(it.e.Number, it.e.Kind, it.err))
		}
	}
	e.report(results...)
	failpoint.Hit("receiver/reported")
	return failed
}

// failedFile is a file that failed, and how.
type failedFile struct {
	file *file
	err  *transfer.Error
}

// eachItem runs one step for all that are still on their way.
func (e *edge) eachItem(items []item, phase transfer.Phase, step func(*item) error) {
	for i := range items {
		it := &items[i]
		if it.err != nil || it.skip {
			continue
		}
		if err := step(it); err != nil {
			it.err = e.entryFailure(err, phase, &it.e)
		}
	}
}

// holdDirs opens the directories of a batch, each once as long as their files
// come together.
func (e *edge) holdDirs(items []item) {
	for i := range items {
		it := &items[i]
		if i > 0 && items[i-1].file.dir == it.file.dir && items[i-1].dir.Dir != nil {
			it.dir = heldDir{items[i-1].dir.Retain(), items[i-1].dir.id}
			continue
		}
		d, err := e.dirs.get(it.file.dir)
		if err != nil {
			it.err = e.entryFailure(err, transfer.PhasePublish, &it.e)
			continue
		}
		it.dir = d
	}
}

// checkDirs finds directories that were moved away or removed since they were
// opened, so that nothing is published where nobody looks for it.
func (e *edge) checkDirs(items []item) {
	var last *item
	var err *transfer.Error
	for i := range items {
		it := &items[i]
		if it.err != nil || it.skip {
			continue
		}
		if last == nil || last.file.dir != it.file.dir {
			err = nil
			if gone := e.dirs.inPlace(it.dir); gone != nil {
				err = e.entryFailure(gone, transfer.PhasePublish, &it.e)
				e.dirs.drop(it.file.dir)
			}
		}
		last, it.err = it, err
	}
}

// removeFailed removes the temps of entries that were not renamed.
func (e *edge) removeFailed(items []item) {
	for i := range items {
		it := &items[i]
		if (it.err == nil && !it.skip) || it.temp == nil || it.temp.name == "" || it.dir.Dir == nil {
			continue
		}
		if err := it.dir.Unlink(it.temp.name); err != nil && !fsMissing(err) {
			e.log.Warn("temporary file stays", "dir", it.dir.Path(), "name", it.temp.name, "error", err)
		}
	}
}

// leaveBatch gives a batch up whose transfer was cancelled. The end of the edge looks
// after its temps: they are kept as partials, or removed.
func (e *edge) leaveBatch(items []item) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range items {
		if it := &items[i]; it.task == taskMeta && it.temp != nil {
			_ = it.temp.close() // it was changed in place
			it.temp = nil
		}
	}
}

// abandonBatch ends the edge because its journal cannot be written. The entries
// stay without a result; what is in the directory now is found by recovery.
func (e *edge) abandonBatch(items []item, err error) {
	if e.busy.Err() != nil && transfer.ReasonOf(err) == transfer.StateNoSpace {
		return // it waited for room until the edge began to end, which looks after the entries
	}
	e.cancel(err)
	e.log.Error("journal", "error", err, "entries", len(items))
}
