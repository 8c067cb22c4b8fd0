package command

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

// report says what became of a transfer that is over, and returns its exit
// code as an error that prints nothing more.
func (f *follower) report(ctx context.Context, t *xferv1.Transfer) error {
	a := f.a
	failed, err := failedCodes(ctx, f.api, t)
	if err != nil {
		a.warn("the list of failures is not complete: " + err.Error())
	}
	code := resultCode(t, failed)
	if f.interrupted {
		code = exit.Interrupt
	}
	if f.itemize {
		if err := f.printItems(ctx, t); err != nil {
			a.complain("the list of changes is not complete: " + err.Error())
			if code == exit.OK {
				code = exit.Failed
			}
		}
	}
	if (f.itemize || a.flags.verbose) && t.GetCounters().GetSpecialsSkipped() > 0 && !f.events() && !a.flags.quiet {
		if err := f.printSpecials(ctx, t); err != nil {
			a.warn("the list of what was skipped is not complete: " + err.Error())
		}
	}
	if f.events() {
		for _, e := range t.GetFailures() {
			a.event("failure", entryFields(e)...)
		}
		a.event("end", endFields(t, code)...)
	} else if !a.flags.quiet {
		for _, l := range summary(t, a.flags.verbose) {
			a.outf("%s\n", l)
		}
	}
	if f.interrupted && t.GetState() == xferv1.State_STATE_CANCELLED {
		if verifies(t) {
			a.complain("cancelled")
		} else {
			a.complain("cancelled; " + f.goesOn())
		}
		return exit.Silent(code)
	}
	again := false
	for _, l := range complaints(t) {
		a.complain(l)
		again = again || strings.Contains(l, "same command")
	}
	a.hint(t.GetError().GetReason(), t.GetError().GetNode())
	a.hintPattern(t.GetError().GetReason())
	if f.interrupted {
		a.complain("the transfer was over before it could be cancelled")
	}
	if again && f.named && !f.wasOver {
		a.complain("the same command with this --id shows this end again; " + f.goesOn())
	}
	if f.wasOver && t.GetState() != xferv1.State_STATE_SUCCEEDED {
		a.complain("that was its end before this command; to run it again: xferctl transfers retry " + shortName(t.GetName()) + ", or give another --id")
	}
	return exit.Silent(code)
}

func endFields(t *xferv1.Transfer, code int) []record.Field {
	return []record.Field{
		{Name: "name", Value: t.GetName()},
		{Name: "state", Value: stateWord(t.GetState())},
		{Name: "dry_run", Value: t.GetSpec().GetDryRun()},
		{Name: "exit_code", Value: code},
		{Name: "exit_reason", Value: t.GetError().GetReason()},
		{Name: "total_known", Value: t.GetCounters().GetTotalKnown()},
		{Name: "transfer", Value: transferRecord(t)},
	}
}

// summary is the lines at the end of a transfer, for people.
func summary(t *xferv1.Transfer, verbose bool) []string {
	if verifies(t) {
		return verifySummary(t)
	}
	c, p := t.GetCounters(), t.GetDataPath()
	dry := t.GetSpec().GetDryRun()
	took := elapsed(t)
	var moved int64
	for _, n := range c.GetBytesMoved() {
		moved += n
	}
	copied := "copied"
	if dry {
		copied = "would be copied"
	}
	files := []string{show.Plural(c.GetFilesCopied(), "file", "files") + " " + copied}
	for _, n := range []struct {
		n    int64
		what string
	}{
		{c.GetFilesSame(), "same"}, {c.GetFilesSkipped(), "skipped"}, {c.GetFilesFailed(), "failed"},
	} {
		files = append(files, show.Count(n.n)+" "+n.what)
	}
	head := stateText(t)
	if n := c.GetEntriesLost(); n > 0 && t.GetState() == xferv1.State_STATE_SUCCEEDED {
		head += ", but " + show.Plural(n, "entry was", "entries were") + " not kept in full"
	}
	out := []string{head + " " + show.Name(t.GetName()), "  files:      " + strings.Join(files, ", ")}
	if to := placesOf(t.GetSpec()).Dest; to.Region != nil {
		out[1] = "  region:     " + regionLine(t, shownPlace(to))
	}
	if l := others(c, dry); l != "" {
		out = append(out, "  others:     "+l)
	}
	if dry {
		bytes := show.Size(c.GetBytesTotal()) + " in all files"
		if c.BytesToMove != nil { // an older daemon does not tell
			bytes = show.Size(c.GetBytesToMove()) + " would be moved of " + bytes
			if c.GetBytesToMove() > 0 {
				bytes = "up to " + bytes // holes count as well
			}
		}
		out = append(out, "  bytes:      "+bytes)
		return append(out, "  this was a dry run: nothing was changed")
	}
	bytes := fmt.Sprintf("  bytes:      %s moved of %s in all files, in %s", show.Size(moved), show.Size(c.GetBytesTotal()), show.Elapsed(took))
	if t.GetSpec().GetPrepared() {
		bytes = fmt.Sprintf("  bytes:      %s moved of %s in all posts, in %s", show.Size(moved), show.Size(c.GetBytesTotal()), show.Elapsed(took))
	}
	if more := moved - c.GetBytesTotal(); more > 0 && c.GetTotalKnown() {
		bytes += ", " + show.Size(more) + " of it sent again"
	}
	if moved > 0 {
		bytes += ", " + show.Rate(moved, took)
	}
	out = append(out, bytes)
	if p.GetTransport() != "" {
		out = append(out, "  transport:  "+transportLine(p))
	}
	if p.GetBottleneck() != "" {
		out = append(out, "  bottleneck: "+show.Name(p.GetBottleneck()))
	}
	if v := p.GetVerify(); v != "" {
		if why := p.GetVerifyReason(); why != "" {
			v += " (not " + strings.ToLower(word(t.GetSpec().GetVerify(), "VERIFY_")) + ": " + why + ")"
		}
		out = append(out, "  verify:     "+show.Name(v)+again(c))
	}
	if d := t.GetContentDigest(); len(d) > 0 {
		out = append(out, fmt.Sprintf("  digest:     %s %x", digestWord(t.GetSpec()), d))
	} else if t.GetSpec().GetDigest() != 0 && c.GetFilesCopied()+c.GetFilesSame() > 0 {
		out = append(out, "  digest:     "+digestWord(t.GetSpec())+" of each file: xferctl transfers show --digests "+shortName(t.GetName()))
	}
	if t.GetSpec().GetDurability() == xferv1.Durability_DURABILITY_NONE {
		out = append(out, "  durability: none: a power cut may lose what was just copied")
	}
	if verbose {
		out = append(out, verboseLines(t)...)
	}
	return out
}

// regionLine says what became of the region that was to be written.
func regionLine(t *xferv1.Transfer, to string) string {
	switch {
	case t.GetSpec().GetDryRun():
		return to + " would be written"
	case t.GetSpec().GetPrepared() && t.GetPosts().GetDone() == 0:
		return to + " not written by a post"
	case t.Generation != nil:
		return fmt.Sprintf("%s written, generation %d", to, t.GetGeneration())
	case t.GetState() == xferv1.State_STATE_SUCCEEDED:
		return to + " left as it is: there were no bytes"
	}
	switch e := t.GetError(); {
	case t.GetStartTime() == nil, e.GetPhase() == "connect" && t.GetCounters().GetAttempts() <= 1:
		return to + " not written"
	case t.GetEndTime() == nil:
		return to + " not committed yet: until then its bytes are undefined"
	}
	return to + " not written, or in part: xferctl regions show tells what is torn"
}

// elapsed is how long a transfer ran; before its end, until now.
func elapsed(t *xferv1.Transfer) time.Duration {
	from := t.GetStartTime()
	if from == nil {
		from = t.GetCreateTime()
	}
	if from == nil {
		return 0
	}
	to := time.Now()
	if t.GetEndTime() != nil {
		to = t.GetEndTime().AsTime()
	}
	return max(to.Sub(from.AsTime()), 0)
}

func others(c *xferv1.Counters, dry bool) string {
	made, gone := "made", "deleted"
	if dry {
		made, gone = "would be made", "would be deleted"
	}
	var out []string
	for _, n := range []struct {
		n         int64
		one, many string
	}{
		{c.GetDirsMade(), "directory " + made, "directories " + made}, {c.GetLinksMade(), "link " + made, "links " + made},
		{c.GetDeleted(), gone, gone}, {c.GetSpecialsSkipped(), "special file or link skipped", "special files or links skipped"},
		{c.GetEntriesFailed() - c.GetFilesFailed(), "other entry failed", "other entries failed"},
		{c.GetEntriesLost(), "not kept in full (owner, attributes ...)", "not kept in full (owner, attributes ...)"},
	} {
		if n.n > 0 {
			out = append(out, show.Plural(n.n, n.one, n.many))
		}
	}
	return strings.Join(out, ", ")
}

func transportLine(p *xferv1.DataPath) string {
	l := show.Name(p.GetTransport())
	switch why := show.Name(p.GetReason()); why {
	case "":
	case "NOT_BUILT", "PEER_HAS_NONE", "ENCRYPTION_REQUIRED", "NO_LIBRARY", "NO_KERNEL_SUPPORT", "NO_DEVICE",
		"PORT_DOWN", "NO_GID", "NO_PATH", "MEMLOCK", "PINNED_LIMIT", "NO_BUFFERS", "PROBE_FAILED", "QP_ERROR":
		l += " (no rdma: " + why + ")"
	default:
		l += " (" + why + ")"
	}
	for _, f := range p.GetFallbacks() {
		l += fmt.Sprintf("; from %s to %s: %s", show.Name(f.GetFrom()), show.Name(f.GetTo()), show.Name(f.GetReason()))
		if f.GetDetail() != "" {
			l += ", " + show.Name(f.GetDetail())
		}
	}
	return l
}

// again tells of what had to be sent more than once.
func again(c *xferv1.Counters) string {
	out := ""
	if n := c.GetMismatches(); n > 0 {
		out += "; " + show.Plural(n, "extent", "extents") + " arrived damaged and sent again"
	}
	if n := c.GetRestarts(); n > 0 {
		out += "; a file was begun again " + show.Plural(n, "time", "times") + ", since the source changed"
	}
	return out
}

func verboseLines(t *xferv1.Transfer) []string {
	c, p := t.GetCounters(), t.GetDataPath()
	var out []string
	for _, k := range slices.Sorted(maps.Keys(c.GetBytesMoved())) {
		out = append(out, fmt.Sprintf("  by %s:%s%s", show.Name(k), strings.Repeat(" ", max(8-len(k), 1)), show.Size(c.GetBytesMoved()[k])))
	}
	for _, side := range []struct {
		name string
		s    *xferv1.DataStats
	}{{"source", p.GetSource()}, {"target", p.GetTarget()}} {
		if s := side.s; proto.Size(s) > 0 { // the target tells its own at the end
			out = append(out, fmt.Sprintf("  %s:     %s, read %s, hash %s, network %s, write %s", side.name, show.Plural(int64(s.GetStreams()), "stream", "streams"),
				show.Elapsed(s.GetReadTime().AsDuration()), show.Elapsed(s.GetHashTime().AsDuration()), show.Elapsed(s.GetWireTime().AsDuration()), show.Elapsed(s.GetPlaceTime().AsDuration())))
		}
	}
	return append(out, fmt.Sprintf("  attempts:   %d", c.GetAttempts()))
}

// complaints are the errors of a transfer that is over: why it ended so, and
// the first entries that failed.
func complaints(t *xferv1.Transfer) []string {
	var out, told []string
	for _, e := range t.GetFailures() {
		out = append(out, failureText(t, e))
		told = append(told, errorText(e.GetError()))
	}
	if more := t.GetCounters().GetEntriesFailed() - int64(len(t.GetFailures())); more > 0 && len(t.GetFailures()) > 0 {
		out = append(out, fmt.Sprintf("%s more failed; all of them: xferctl transfers show --failures %s", show.Count(more), shortName(t.GetName())))
	}
	if e := t.GetError(); e != nil && (t.GetState() != xferv1.State_STATE_PARTIALLY_SUCCEEDED || e.GetReason() != xferv1.Reason_REASON_PARTIAL_FAILURE.Name() || len(out) == 0) {
		if text := errorText(e); !slices.Contains(told, text) { // the one failure may be the reason of the whole
			out = append(out, text)
		}
	}
	if n := t.GetCounters().GetEntriesLost(); n > 0 {
		out = append(out, fmt.Sprintf("%s could not be kept in full; which and what: xferctl transfers show --lost %s", show.Plural(n, "entry", "entries"), shortName(t.GetName())))
	}
	return out
}

func failureText(t *xferv1.Transfer, e *xferv1.EntryResult) string {
	err := e.GetError()
	if len(err.GetPath()) > 0 {
		return errorText(err)
	}
	at := placesOf(t.GetSpec()).Dest
	at.Path = path.Join(at.Path, string(e.GetPath()))
	return shownPlace(at) + ": " + errorText(err)
}

// errorText is «side phase node:path: message (REASON); hint».
func errorText(e *xferv1.Error) string {
	var at []string
	for _, w := range []string{e.GetSide(), e.GetPhase()} {
		if w != "" {
			at = append(at, w)
		}
	}
	path := show.Name(string(e.GetPath()))
	switch {
	case e.GetNode() != "" && path != "":
		at = append(at, e.GetNode()+":"+path)
	case e.GetNode() != "" || path != "":
		at = append(at, e.GetNode()+path)
	}
	text := ""
	if len(at) > 0 {
		text = strings.Join(at, " ") + ": "
	}
	if e.GetMessage() != "" {
		text += e.GetMessage() + " "
	}
	text += "(" + e.GetReason() + ")"
	if e.GetHint() != "" {
		text += "; " + e.GetHint()
	}
	return text
}
