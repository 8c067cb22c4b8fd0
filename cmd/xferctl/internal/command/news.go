package command

import (
	"strings"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/progress"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

// events reports whether the answer is a stream of JSON objects.
func (f *follower) events() bool { return f.a.set.Output == "json" && !f.quiet }

// news shows a transfer as it is now.
func (f *follower) news(t *xferv1.Transfer) {
	f.newsOfWaiting(t)
	if f.events() {
		f.a.event("progress", progressFields(t)...)
		return
	}
	if f.progress && !f.a.flags.quiet {
		f.draw.Update(time.Now(), f.landed.with(t, progressState(t, "")))
	}
}

// newsOfLoss says, once, that the server does not answer, and keeps it in sight
// on a terminal. An err of nil means that there was no answer at all.
func (f *follower) newsOfLoss(err error) {
	why := "the server does not answer"
	if err != nil && !lost(err) && client.ReasonOf(err) != "" {
		why = "the server cannot tell of the transfer now (" + client.ReasonOf(err) + ")"
	}
	switch {
	case f.toldLost:
	case f.events():
		text := why
		if err != nil {
			text = f.a.errorText(err)
		}
		f.a.event("unreachable", record.Field{Name: "message", Value: text})
	default:
		f.clear()
		f.a.warn(why + "; waiting up to " + strings.TrimSuffix(lostWait.String(), "0s"))
	}
	f.toldLost = true
	if f.progress && !f.events() && !f.a.flags.quiet && f.last != nil {
		now := time.Now()
		note := "no answer"
		if d := now.Sub(f.lostSince).Round(time.Second); d > 0 {
			note += " for " + d.String()
		}
		f.draw.Update(now, f.landed.with(f.last, progressState(f.last, note)))
	}
}

// newsOfReturn says that the server answers again, if it was said that it did
// not.
func (f *follower) newsOfReturn() {
	switch {
	case !f.toldLost:
		return
	case f.events():
		f.a.event("reachable")
	case !f.a.flags.quiet:
		f.clear()
		f.a.complain("the server answers again after " + show.Elapsed(time.Since(f.lostSince)))
	}
	f.toldLost = false
}

// landed keeps the shown progress from falling back to nothing when an attempt
// begins: its counters do, but what earlier ones brought is at the target still,
// and is counted again as the target looks at it.
type landed struct {
	attempt, before, shown int64
}

func (l *landed) with(t *xferv1.Transfer, s progress.State) progress.State {
	if n := t.GetCounters().GetAttempts(); n > l.attempt {
		l.attempt, l.before = n, l.shown
	}
	s.Bytes = max(s.Bytes, min(l.before, s.BytesTotal))
	l.shown = s.Bytes
	return s
}

// progressState is what the lines on a terminal show of a transfer.
func progressState(t *xferv1.Transfer, note string) progress.State {
	c := t.GetCounters()
	if note == "" && t.GetWaitingReason() != "" {
		what, why := waitsFor(t) // a narrow terminal shows the beginning
		note = what
		if at := t.GetNextAttemptTime(); at != nil {
			if in := time.Until(at.AsTime()); in > time.Second {
				note += ", next try in " + in.Round(time.Second).String()
			}
		}
		note += ": " + why
	}
	return progress.State{
		Phase:      strings.ToLower(stateWord(t.GetState())),
		TotalKnown: c.GetTotalKnown(),
		Files:      filesEnded(c),
		FilesTotal: c.GetFilesTotal(),
		Failed:     c.GetEntriesFailed(),
		Bytes:      c.GetBytesDone(),
		BytesTotal: c.GetBytesTotal(),
		Transport:  t.GetDataPath().GetTransport(),
		Note:       note,
	}
}

func filesEnded(c *xferv1.Counters) int64 {
	return c.GetFilesCopied() + c.GetFilesSame() + c.GetFilesSkipped() + c.GetFilesFailed()
}

// event writes one JSON object on a line of its own.
func (a *app) event(kind string, fields ...record.Field) {
	line, err := record.Line(append(record.Object{
		{Name: "event", Value: kind},
		{Name: "time", Value: time.Now().UTC().Format(time.RFC3339Nano)},
	}, fields...))
	if err != nil {
		a.complain(err.Error())
		return
	}
	_, _ = a.out.Write(line) // the sink remembers its error
}

func progressFields(t *xferv1.Transfer) []record.Field {
	c := t.GetCounters()
	out := []record.Field{
		{Name: "name", Value: t.GetName()},
		{Name: "state", Value: stateWord(t.GetState())},
		{Name: "total_known", Value: c.GetTotalKnown()},
		{Name: "files_done", Value: filesEnded(c)},
		{Name: "files_total", Value: c.GetFilesTotal()},
		{Name: "bytes_done", Value: c.GetBytesDone()},
		{Name: "bytes_total", Value: c.GetBytesTotal()},
		{Name: "entries_failed", Value: c.GetEntriesFailed()},
	}
	if p := t.GetDataPath(); p.GetTransport() != "" {
		out = append(out, record.Field{Name: "transport", Value: p.GetTransport()}, record.Field{Name: "transport_reason", Value: p.GetReason()})
	}
	if t.GetWaitingReason() != "" {
		out = append(out, record.Field{Name: "waiting_reason", Value: t.GetWaitingReason()}, record.Field{Name: "waiting_detail", Value: t.GetWaitingDetail()})
	}
	return out
}
