package lifecycle

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
	"github.com/xferd/xferd/transport"
)

// observer gathers what one attempt tells, and shows it a few times a second:
// an edge can end a hundred thousand entries in that time.
type observer struct {
	j   *job
	dog *watchdog
	log *results

	mu       sync.Mutex
	base     transfer.Counters // of earlier attempts
	c        transfer.Counters // base and this attempt
	path     transfer.Path
	opened   *transfer.Opened
	checked  transfer.Checked // as the target said, now or in an earlier attempt
	failures []transfer.Result
	progress sender.Progress
	now      published // by this attempt
	good     int64     // entries that were published or the same already
	gained   bool      // something is at the target that was not before this attempt
	dirty    bool
	waiting  *transfer.Error // what the target waits for, or nil
	dry      bool            // a dry run
	file     transfer.Result // the last regular file or region that is at the target
}

func newObserver(j *job, dog *watchdog) (*observer, error) {
	t := j.current()
	log, err := openResults(&j.results, j.e.cfg.Store, t.UID)
	if err != nil {
		return nil, err
	}
	base := t.Counters.Clone()
	// What an attempt finds and how it ends is counted anew by the next one;
	// what was published stays counted.
	posted, done := base.BytesTotal, base.BytesDone
	base.EntriesFound, base.ScanDone, base.FilesTotal, base.BytesTotal = 0, false, 0, 0
	base.FilesSame, base.FilesSkipped, base.FilesFailed, base.EntriesFailed = 0, 0, 0, 0
	base.SpecialSkipped, base.EntriesLost, base.BytesDone = 0, 0, 0
	base.FilesCopied, base.DirsMade, base.LinksMade = log.before.files, log.before.dirs, log.before.links
	if t.Spec.Prepared { // each attempt goes on with the posts
		base.BytesTotal, base.BytesDone = posted, done
	}
	base.BytesToMove = 0
	if t.Spec.DryRun {
		base.BytesToMove = log.before.bytes
	}
	path := t.Path
	path.Fallbacks = slices.Clone(path.Fallbacks)
	var checked transfer.Checked
	if path.VerifyReason != "" {
		checked = transfer.Checked{Verify: transfer.Verify(path.Verify), Reason: path.VerifyReason}
	}
	return &observer{checked: checked, j: j, dog: dog, log: log, base: base, c: base.Clone(), path: path, dry: t.Spec.DryRun}, nil
}

// start shows progress, and ends the attempt by giveUp when the watchdog says
// so, until the function that it returns was called.
func (o *observer) start(ctx context.Context, giveUp func(*transfer.Error)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			o.attend()
			o.show(ctx)
			t := o.j.current()
			if err := o.dog.expired(&t); err != nil {
				giveUp(err)
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

func (o *observer) show(ctx context.Context) {
	o.mu.Lock()
	if !o.dirty {
		o.mu.Unlock()
		return
	}
	o.dirty = false
	change := o.changeLocked()
	o.mu.Unlock()
	_ = o.log.flush() // its error ends the attempt in close
	_ = o.j.edit(ctx, false, change)
}

// changeLocked returns an edit that puts what was gathered so far into the
// transfer.
func (o *observer) changeLocked() func(*transfer.Transfer) {
	c, path, failures, opened, waiting := o.c.Clone(), o.path, slices.Clone(o.failures), o.opened, o.waiting
	path.Fallbacks = slices.Clone(path.Fallbacks)
	return func(t *transfer.Transfer) {
		attempts := t.Counters.Attempts
		t.Counters = c
		t.Counters.Attempts = attempts
		t.Path, t.Failures = path, failures
		if p := o.j.posts; p != nil {
			p.show(t)
		}
		if opened != nil {
			t.Resolved = opened.ResolvedTo
			if t.State == transfer.StateRunning {
				t.WaitingReason, t.WaitingDetail, t.NextAttempt = "", "", time.Time{}
				if waiting != nil {
					t.WaitingReason, t.WaitingDetail = waiting.Reason, waiting.Error()
				}
			}
		}
	}
}

// settle makes the results durable, if there is room for them. It may be called again
// while that is what its error is about.
func (o *observer) settle() error {
	if err := o.log.settle(); err != nil && !o.log.failed() { // else close tells it
		return storeError(err, o.j.e.cfg.Node)
	}
	return nil
}

// close shows the rest and makes the results durable.
func (o *observer) close() error {
	o.mu.Lock()
	o.dirty = true
	o.mu.Unlock()
	err := o.log.close()
	o.show(context.Background())
	return err
}

// ending is the state that the results call for, and why.
func (o *observer) ending(s *sender.Summary) (transfer.State, *transfer.Error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return decide(o.good, o.c.EntriesFailed, s)
}

// digests puts the digests of the one file in, where there is just one.
func (o *observer) digests(t *transfer.Transfer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.c.FilesTotal == 1 && !o.dry {
		t.Digest, t.Content, t.Generation = o.file.Digest, o.file.Content, o.file.Generation
	}
}

// moved reports whether the attempt brought the transfer further. An attempt that
// only found again what earlier ones had done did not.
func (o *observer) moved() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.gained
}

// Opened implements sender.Observer.
func (o *observer) Opened(m *transfer.Opened) {
	o.j.logGoesOn()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.opened, o.dirty = m, true
	o.checked = cmp.Or(o.checked, m.Checked)
	o.path.Weaken(o.checked)
}

// Waiting implements sender.Observer.
func (o *observer) Waiting(err *transfer.Error) {
	o.mu.Lock()
	o.waiting, o.dirty = err, true
	o.mu.Unlock()
	log := o.j.e.cfg.Log
	if err == nil {
		log.Info("the target goes on", "transfer", o.j.id)
		return
	}
	log.Warn("the target waits", "transfer", o.j.id, "reason", string(err.Reason), "err", err.Error())
}

// Path implements sender.Observer.
func (o *observer) Path(name string, why transport.Reason, detail string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if old := o.path.Transport; old != "" && old != name {
		o.path.Fallbacks = append(o.path.Fallbacks, transfer.Fallback{Time: time.Now(), From: old, To: name, Reason: why, Detail: detail})
	}
	o.path.Transport, o.path.Reason = name, why
	o.j.e.cfg.Log.Info("data path", "transfer", o.j.id, "transport", name, "transport_reason", string(why))
	spec := o.j.current().Spec
	o.path.Verify = string(spec.Verify)
	if _, region := spec.IntoRegion(); name == transport.Local && !region && o.path.Verify == string(transfer.VerifyWire) {
		o.path.Verify = "kernel_copy" // no user-space program saw the bytes
	}
	o.path.Weaken(o.checked)
	o.dirty = true
}

// Progress implements sender.Observer.
func (o *observer) Progress(p sender.Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	last := o.progress
	o.progress, o.dirty = p, true
	if p.BytesDone > last.BytesDone || p.Entries > last.Entries || p.Stats.Bytes > last.Stats.Bytes {
		o.gained = o.gained || p.BytesDone > last.BytesDone
		o.dog.feed()
	}
	c := &o.c
	c.EntriesFound, c.ScanDone = p.Entries, p.ScanDone
	c.FilesTotal, c.BytesTotal = p.Files, o.base.BytesTotal+p.Bytes
	c.SpecialSkipped = p.SpecialSkipped
	c.BytesDone = o.base.BytesDone + p.BytesDone + p.BytesSame
	c.Mismatches, c.Restarts = o.base.Mismatches+p.Mismatches, o.base.Restarts+p.Restarts
	if o.path.Transport != "" { // Stats are of all data planes of the attempt
		c.BytesMoved[o.path.Transport] += p.Stats.Bytes - last.Stats.Bytes
	}
	o.path.Source = p.Stats
}

// Result implements sender.Observer.
func (o *observer) Result(r transfer.Result) {
	failpoint.Hit("lifecycle/result")
	if o.j.posts != nil {
		o.post(&r)
		return
	}
	known := o.log.published(r.Path) // by an earlier attempt, which was counted
	earlier := known && r.Outcome == transfer.OutcomeSame
	if !earlier && !closing(&r) {
		o.log.add(&r)
	}
	o.dog.feed()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dirty, o.gained = true, o.gained || !known && r.Outcome == transfer.OutcomePublished
	c := &o.c
	if (r.Outcome == transfer.OutcomePublished || r.Outcome == transfer.OutcomeSame) && r.Kind != transfer.KindEndDir {
		o.good++ // the end of a directory is nothing that a user asked for
		if r.Kind.HasBytes() {
			o.file = r
		}
	}
	switch {
	case earlier, known && r.Outcome == transfer.OutcomePublished:
	case r.Outcome == transfer.OutcomeFailed:
		c.EntriesFailed++
		if r.Kind.HasBytes() {
			c.FilesFailed++
		}
		if len(o.failures) < transfer.MaxFailuresShown {
			o.failures = append(o.failures, r)
		}
	case r.Outcome == transfer.OutcomePublished:
		o.now.add(&r)
		before := &o.log.before
		c.FilesCopied, c.DirsMade, c.LinksMade = before.files+o.now.files, before.dirs+o.now.dirs, before.links+o.now.links
		if o.dry {
			c.BytesToMove = before.bytes + o.now.bytes
		}
	case r.Kind.HasBytes() && r.Outcome == transfer.OutcomeSame:
		c.FilesSame++
	case r.Kind.HasBytes() && r.Outcome == transfer.OutcomeSkipped:
		c.FilesSkipped++
	}
	if r.Lost != 0 {
		c.EntriesLost++
	}
}
