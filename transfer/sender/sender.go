// Package sender is the owner's end of one edge: it opens the edge at the
// target, streams the manifest, feeds the data plane with what the target wants,
// watches the sources for changes, and tells how every entry ended.
//
// It is one attempt. Whether there is another one after it failed, and what is
// remembered of a transfer, is package lifecycle's. It knows no concrete
// transport and no gRPC.
package sender

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/plan"
	"github.com/xferd/xferd/transfer/scan"
	"github.com/xferd/xferd/transport"
)

// Config is what the edges of a node share.
type Config struct {
	Node    transfer.NodeID
	Exports func() *fsroot.Exports
	Pool    *bufpool.Pool
	Regions scan.Regions                // nil where the node has none
	Dialers map[string]transport.Dialer // by transport name
	// NoRDMA says why RDMA is not among Dialers.
	NoRDMA transport.Reason
	// Comeback is how long another transport is used after RDMA failed before
	// RDMA is tried again (30 s). It is twice as long each time that this goes
	// wrong, 10 minutes at most.
	Comeback time.Duration
	Log      *slog.Logger
}

// Job is what one edge is about.
type Job struct {
	Spec      transfer.Spec
	ID        string
	UID       transfer.UID
	StateUUID string // of the owner's state
	Epoch     uint64
	// TargetDistinct: owner and target are different nodes, so that the local
	// transport is out of the question.
	TargetDistinct bool
	// Mismatches is how many extents earlier attempts found corrupted: a few more
	// are too many of the transfer, however often it was begun.
	Mismatches int64
}

// Observer is told what happens. It is called from the edge's goroutines and
// must not block for long.
type Observer interface {
	Opened(*transfer.Opened)
	// Result is called once for every entry, and once for every name that got
	// none (transfer.NoEntry). A directory may get a second one, which replaces
	// the first; its path is known only as far as the target names it.
	Result(transfer.Result)
	// Progress is called a few times a second while something moves, and at the
	// end.
	Progress(Progress)
	// Path is called when the transport is chosen and when it changes.
	Path(transport string, why transport.Reason, detail string)
	// Ready is called when a data plane of a prepared transfer stands.
	Ready(transport string)
	// Waiting is called when the target begins to wait for something (Pong.Waiting),
	// and with nil when it goes on.
	Waiting(*transfer.Error)
}

// Progress is what the attempt found and did so far.
type Progress struct {
	Entries        int64 // found by the scan, the ends of directories included
	Files          int64 // regular files among them
	Bytes          int64 // in those
	ScanDone       bool  // the totals are final
	SpecialSkipped int64 // links, FIFOs, sockets and devices that were not asked for
	BytesDone      int64 // of content that was sent and acknowledged, holes included
	BytesSame      int64 // of content that was at the target already
	Mismatches     int64 // extents that arrived corrupted
	Restarts       int64 // of files whose source changed
	Stats          transport.Stats
}

// Summary is how an attempt ended that came to its end.
type Summary struct {
	Failed       int64 // entries and names
	ScanErrors   int64 // that leave the manifest incomplete
	FirstFailure *transfer.Error
	Deleted      int64
	TargetErr    *transfer.Error // a failure of the whole at the target
	TargetStats  transport.Stats
	Checked      transfer.Checked // where the target could not verify as it was asked to
	Transport    string           // that was used last; empty when nothing was moved
	// Confirmed is how the target said that it left the destination, of an edge
	// that ended early. It is 0 where the target said nothing: then it may hold
	// the destination.
	Confirmed transfer.End
	// Unanswered is what the target owed when the edge was stopped, for people: it may
	// answer pings and go no further. It is empty where it owed nothing.
	Unanswered string
	// Refused: the target did not open the edge. What it held before it holds
	// still.
	Refused  bool
	Progress Progress
}

const (
	// packLimit is the size in bytes up to which files share a chunk and are
	// read into memory.
	packLimit = 256 << 10
	// maxBatch is the number of entries in one message.
	maxBatch = 512
	// flushAfter is how long a found entry may wait for others.
	flushAfter = 2 * time.Millisecond
	// maxRestarts is how often a file that changes is started again.
	maxRestarts = 2
	// maxPath is how long the path of a deleted name may be, in bytes.
	maxPath = 4096
	// maxReadFailures is how often reading an entry may fail.
	maxReadFailures = 2
	// maxRefusals is how often the target may refuse an extent.
	maxRefusals = 3
)

// Edge is one attempt of a transfer.
type Edge struct {
	cfg  Config
	job  Job
	link transfer.TargetLink
	obs  Observer
	log  *slog.Logger

	chunkSize int64
	hash      bool // extents have digests
	dirs      *scan.Dirs
	scanner   *scan.Scanner
	sources   scan.Sources                      // the regions that are read
	needed    map[scan.Region][]transport.Range // of each of them
	layout    *transfer.Layout                  // of a transfer into a region
	files     *openFiles
	out       outbox
	control   controls
	now       func() time.Time // of the wall clock
	began     time.Time
	heard     atomic.Int64 // time.Duration since began, of the last message
	stopping  chan struct{}
	stopOnce  sync.Once
	answered  bool         // Opened came; of receive alone
	waiting   bool         // the target waits for something; of receive alone
	end       transfer.End // set before stopping is closed

	fail context.CancelCauseFunc // ends the work of Run with an error
	done <-chan struct{}         // closed when the work is to end

	// Answers that one waiting goroutine takes.
	opened   chan *transfer.Opened
	ready    chan *transfer.DataReady
	fenced   chan *transfer.DataFenced
	finished chan *transfer.Finished

	mu      sync.Mutex
	credit  sync.Cond // an entry got its result, or the edge ends
	work    sync.Cond // there may be a chunk, or the edge ends
	settle  sync.Cond // something is to be settled, or the edge ends
	credits uint64
	choice  choice
	back    comeback
	entries map[uint64]*entry // without a result
	next    uint64            // number of the next entry
	plan    *plan.Planner
	scanned bool // ScanDone is out
	noMore  bool // the feed is at its end
	ended   bool // ctx of Run is over
	settled []settlement
	young   []heldAnswer  // in the order in which they are due
	aging   chan struct{} // of capacity 1: young is empty no more
	spare   []*load
	seq     uint64
	landed  int64            // extents that were acknowledged
	posts   posting          // of a prepared transfer
	loads   map[uint64]*load // on their way, by chunk number
	unsure  []*load          // of which only the target knows what landed

	progress  Progress
	reported  Progress        // to the observer, last
	past      transport.Stats // of ended data planes
	unfenced  bool            // a device may still read sources
	outgoing  transport.Outgoing
	maxRate   int64
	used      string // transport
	summary   Summary
	asked     string        // the message whose answer is waited for, or ""
	askedAt   time.Duration // since began
	allIn     chan struct{} // closed when the scan is done and all results are in
	allInDone bool

	digests digestQueue
}

// New makes an edge. The link stays the caller's: Run does not close it.
func New(cfg Config, job Job, link transfer.TargetLink, obs Observer) *Edge {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e := &Edge{
		cfg: cfg, job: job, link: link, obs: obs,
		log:       log.With("transfer", job.ID, "uid", job.UID.String(), "epoch", job.Epoch),
		chunkSize: job.Spec.ChunkSize,
		hash:      job.Spec.Verify != transfer.VerifyNone,
		dirs:      scan.NewDirs(0),
		stopping:  make(chan struct{}),
		opened:    make(chan *transfer.Opened, 1),
		ready:     make(chan *transfer.DataReady, 1),
		fenced:    make(chan *transfer.DataFenced, 1),
		finished:  make(chan *transfer.Finished, 1),
		allIn:     make(chan struct{}),
		entries:   make(map[uint64]*entry),
		loads:     make(map[uint64]*load),
		maxRate:   job.Spec.MaxRate,
		now:       time.Now,
		aging:     make(chan struct{}, 1),
	}
	if e.chunkSize == 0 {
		e.chunkSize = transfer.DefaultChunkSize
	}
	e.files = newOpenFiles(e.dirs, maxOpenFiles)
	e.files.anyVersion = job.Spec.Prepared
	e.files.patient = e.patient
	e.credit.L, e.work.L, e.settle.L = &e.mu, &e.mu, &e.mu
	e.out.init()
	e.control.post, e.control.links = e.out.post, map[uint32]*transfer.DataLink{}
	e.digests.init()
	return e
}

// Stop asks Run to end the edge, leaving the destination as end says: at once, or to
// pause at a chunk boundary if that comes soon. It returns at once; Run then returns an
// Error with reason Cancelled. The first call counts.
func (e *Edge) Stop(end transfer.End) {
	e.stopOnce.Do(func() {
		e.end = end
		close(e.stopping)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.noMore = true
		e.summary.Unanswered = e.unansweredLocked()
		e.work.Broadcast()
		e.credit.Broadcast()
	})
}

// SetMaxRate limits the edge, in bytes per second; 0 lifts the limit.
func (e *Edge) SetMaxRate(bytesPerSecond int64) {
	e.mu.Lock()
	e.maxRate = bytesPerSecond
	out := e.outgoing
	e.mu.Unlock()
	if out != nil {
		out.SetMaxRate(bytesPerSecond)
	}
}

func (e *Edge) streams() int {
	n := transfer.DefaultStreams
	if e.job.Spec.Streams > 0 {
		n = min(e.job.Spec.Streams, transfer.MaxStreams)
	}
	if e.job.Spec.Prepared { // more would never have anything to do
		n = int(min(int64(n), transfer.Extents(e.layout.Size(), e.chunkSize)))
	}
	return n
}
