package sender

import (
	"context"
	"errors"
	"time"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/scan"
)

// errEnding ends a scan whose edge ends.
var errEnding = errors.New("the edge ends")

// manifest sends what the scan finds, in batches. It is used by the scan's
// goroutine alone.
type manifest struct {
	edge  *Edge
	batch []transfer.Entry
	since time.Time // of the first of batch
	size  int       // of the batch before
}

// Entry implements scan.Sink: it waits for a credit and announces the entry.
func (m *manifest) Entry(f *scan.Found) error {
	e := m.edge
	n := &entry{found: *f}
	e.mu.Lock()
	for uint64(len(e.entries)) >= e.credits && !e.ended && !e.noMore {
		if len(m.batch) > 0 {
			e.mu.Unlock()
			m.flush()
			e.mu.Lock()
			continue
		}
		e.credit.Wait()
	}
	if e.ended || e.noMore {
		e.mu.Unlock()
		return errEnding
	}
	e.entries[f.Number] = n
	e.next = f.Number + 1
	e.progress.Entries++
	if !e.job.Spec.Preserve.Asks(f.Kind) {
		e.progress.SpecialSkipped++
	}
	if f.Kind.HasBytes() {
		e.progress.Files++
		e.progress.Bytes += f.Size
	}
	e.mu.Unlock()
	m.add(&f.Entry)
	return nil
}

// NoEntry implements scan.Sink.
func (m *manifest) NoEntry(r transfer.Result) {
	e := m.edge
	e.mu.Lock()
	if r.Outcome == transfer.OutcomeSkipped && r.Kind != 0 && r.Kind != transfer.KindFile {
		e.progress.SpecialSkipped++
	}
	e.note(&r)
	e.mu.Unlock()
	e.obs.Result(r)
}

func (m *manifest) add(en *transfer.Entry) {
	now := time.Now()
	if m.batch == nil {
		m.batch = make([]transfer.Entry, 0, max(16, m.size))
		m.since = now
	}
	m.batch = append(m.batch, *en)
	if len(m.batch) >= maxBatch || now.Sub(m.since) > flushAfter {
		m.flush()
	}
}

func (m *manifest) flush() {
	if len(m.batch) == 0 {
		return
	}
	m.size = len(m.batch)
	failpoint.Hit("sender/entries")
	m.edge.out.post(&transfer.Entries{Entries: m.batch})
	m.batch = nil // it belongs to the receiver of the message
}

// scan runs the scan and ends the manifest.
func (e *Edge) scan(ctx context.Context) error {
	m := &manifest{edge: e}
	totals, err := e.scanner.Run(ctx, m)
	if errors.Is(err, errEnding) {
		return nil // the error that ends the edge is told elsewhere
	}
	if err != nil {
		return err
	}
	m.flush()
	failpoint.Hit("sender/scanned")
	e.out.post(&transfer.ScanDone{Entries: totals.Entries, Failed: totals.Failed})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.scanned = true
	e.progress.ScanDone = true
	e.summary.ScanErrors = totals.Failed
	e.plan.End()
	e.work.Broadcast()
	e.checkAllIn()
	return nil
}
