package sender

import (
	"context"
	"errors"
	"time"

	"github.com/xferd/xferd/transfer"
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
