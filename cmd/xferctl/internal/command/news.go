package command

import (
	"strings"
	"time"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/progress"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
)

// events reports whether the answer is a stream of JSON objects.
func (f *follower) events() bool { return f.a.set.Output == "json" && !f.quiet }

// news shows a transfer as it is now.
func (f *follower) news(t *xferv1.Transfer) {
	if f.events() {
		f.a.event("progress", progressFields(t)...)
		return
	}
	if f.progress && !f.a.flags.quiet {
		f.draw.Update(time.Now(), progressState(t, ""))
	}
}

// newsOfLoss says that the server does not answer.
func (f *follower) newsOfLoss(err error) {
	if f.events() {
		f.a.event("unreachable", record.Field{Name: "message", Value: f.a.errorText(err)})
		return
	}
	if f.progress && !f.a.flags.quiet && f.last != nil {
		f.draw.Update(time.Now(), progressState(f.last, f.a.errorText(err)+"; trying again"))
	}
}

// progressState is what the lines on a terminal show of a transfer.
func progressState(t *xferv1.Transfer, note string) progress.State {
	c := t.GetCounters()
	if note == "" && t.GetWaitingReason() != "" {
		note = "waits: " + t.GetWaitingDetail() + " (" + t.GetWaitingReason() + ")"
		if at := t.GetNextAttemptTime(); at != nil {
			if in := time.Until(at.AsTime()); in > time.Second {
				note += "; next try in " + in.Round(time.Second).String()
			}
		}
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
