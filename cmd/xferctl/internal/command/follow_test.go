package command

import (
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/bubble"
)

func running(bytes int64, known bool) *xferv1.Transfer {
	return transfer(func(t *xferv1.Transfer) {
		t.State, t.EndTime = xferv1.State_STATE_RUNNING, nil
		t.Counters.TotalKnown, t.Counters.BytesDone = known, bytes
	})
}

func TestCopySucceeds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := &world{api: &fake{full: transfer(nil), waits: []wait{{t: running(1<<30, false), block: true}, {t: running(5<<30, true), block: true}, {t: transfer(nil)}}}}
		r := w.run(t, "cp n1:/a/dir n2:/b/dir")
		if r.code != 0 || r.err != "" {
			t.Errorf("%+v", r)
		}
		golden(t, "copy.txt", r.out)
		nothing := transfer(func(t *xferv1.Transfer) { t.Counters.BytesMoved = nil })
		w.api.full, w.api.waits = nothing, []wait{{t: nothing}}
		if r := w.run(t, "cp n1:/a/dir n2:/b/dir"); !strings.Contains(r.out, "  bytes:      0B moved of 13.0GiB in all files, in 10.0s\n") {
			t.Errorf("a rate of nothing: %+v", r)
		}
		if quiet := (&world{api: w.api}).run(t, "cp -q n1:/a/dir n2:/b/dir"); quiet.out+quiet.err != "" || quiet.code != 0 {
			t.Errorf("%+v", quiet)
		}
	})
}

func TestCopyFailsInPart(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		full := transfer(func(t *xferv1.Transfer) {
			t.State, t.Error = partial, &xferv1.Error{Reason: "PARTIAL_FAILURE", Message: "3 entries failed"}
			t.Failures = []*xferv1.EntryResult{failed("x\x1b[31m", xferv1.Reason_REASON_DEST_PERMISSION), failed("y", xferv1.Reason_REASON_SOURCE_VANISHED)}
			c := t.Counters
			c.FilesFailed, c.EntriesFailed, c.EntriesLost, c.SpecialsSkipped, c.Restarts, c.Mismatches = 2, 3, 4, 1, 2, 1
			t.DataPath.Fallbacks = []*xferv1.Fallback{{From: "rdma", To: "tcp", Reason: "QP_ERROR", Detail: "retry exceeded"}}
			t.Spec.Durability = xferv1.Durability_DURABILITY_NONE
			t.Spec.Verify, t.DataPath.Verify, t.DataPath.VerifyReason = xferv1.Verify_VERIFY_MEDIA, "store", "MEMORY_FILE_SYSTEM"
		})
		w := &world{api: &fake{full: full, waits: []wait{{t: full}}, entries: full.Failures}}
		r := w.run(t, "cp -v n1:/a/dir n2:/b/dir")
		if r.code != 11 {
			t.Errorf("exit code %d", r.code)
		}
		golden(t, "partial.txt", r.out+"--- stderr\n"+r.err)
	})
}

func TestDryRunPrintsMappingFirst(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		full := transfer(func(t *xferv1.Transfer) {
			t.Spec.DryRun = true
			t.Counters.Deleted, t.Counters.BytesToMove = 1, new(int64(5<<30))
		})
		entry := func(path string, kind xferv1.EntryKind, o xferv1.Outcome, ch ...xferv1.Change) *xferv1.EntryResult {
			return &xferv1.EntryResult{Path: []byte(path), Kind: kind, Outcome: o, Changes: ch}
		}
		const file, dir, pub = xferv1.EntryKind_ENTRY_KIND_FILE, xferv1.EntryKind_ENTRY_KIND_DIRECTORY, xferv1.Outcome_OUTCOME_PUBLISHED
		to := func(e *xferv1.EntryResult, target string) *xferv1.EntryResult {
			e.LinkTarget = []byte(target)
			return e
		}
		w := &world{api: &fake{full: full, waits: []wait{{t: full}}, entries: []*xferv1.EntryResult{
			entry("", dir, pub, xferv1.Change_CHANGE_NEW),
			entry("new", file, pub, xferv1.Change_CHANGE_NEW),
			entry("touched", file, pub, xferv1.Change_CHANGE_MTIME),
			entry("mode", file, pub, xferv1.Change_CHANGE_PERM),
			to(entry("link", xferv1.EntryKind_ENTRY_KIND_SYMLINK, pub, xferv1.Change_CHANGE_TARGET), "../else\x1b"),
			to(entry("name", xferv1.EntryKind_ENTRY_KIND_HARDLINK, pub, xferv1.Change_CHANGE_NEW), "new"),
			entry("same", file, xferv1.Outcome_OUTCOME_SAME),
			entry("old", file, xferv1.Outcome_OUTCOME_DELETED, xferv1.Change_CHANGE_DELETE),
		}}}
		r := w.run(t, "sync -n --delete n1:/a/dir/ n2:/b/dir/")
		if r.code != 0 || r.err != "" || !w.api.spec.GetDryRun() || !w.api.spec.GetDelete() {
			t.Errorf("%+v", r)
		}
		golden(t, "dryrun.txt", r.out)
	})
}

// TestItemOfOneFile: what is copied may be the destination itself.
func TestItemOfOneFile(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		full := transfer(func(t *xferv1.Transfer) {
			t.Spec.Destination = &xferv1.Destination{Destination: &xferv1.Destination_Path{Path: []byte("/b/vm.img")}}
		})
		w := &world{api: &fake{full: full, waits: []wait{{t: full}}, entries: []*xferv1.EntryResult{
			{Kind: xferv1.EntryKind_ENTRY_KIND_FILE, Outcome: xferv1.Outcome_OUTCOME_PUBLISHED, Changes: []xferv1.Change{xferv1.Change_CHANGE_NEW}},
		}}}
		if r := w.run(t, "cp -i n1:/a/vm.img n2:/b/vm.img"); !strings.HasPrefix(r.out, ">f+++++++++ vm.img\n") {
			t.Errorf("%+v", r)
		}
		if r := w.run(t, "transfers show --entries n1/new"); r.out != "PUBLISHED  vm.img\n" {
			t.Errorf("%+v", r)
		}
	})
}

func TestEvents(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		full := transfer(func(t *xferv1.Transfer) {
			t.State, t.Error = partial, &xferv1.Error{Reason: "PARTIAL_FAILURE"}
			t.Failures = []*xferv1.EntryResult{failed("y", xferv1.Reason_REASON_SOURCE_VANISHED)}
			t.Counters.EntriesFailed = 1
		})
		waiting := running(2<<30, true)
		waiting.WaitingReason, waiting.WaitingDetail = "PEER_UNREACHABLE", "n2 does not answer"
		w := &world{api: &fake{full: full, waits: []wait{{t: running(1<<30, false), block: true}, {err: errGone}, {t: waiting, block: true}, {t: full}}}}
		r := w.run(t, "cp -o json n1:/a/dir n2:/b/")
		if r.code != 6 {
			t.Errorf("exit code %d, %s", r.code, r.err)
		}
		golden(t, "events.ndjson", r.out)

		w = &world{api: &fake{submitErr: callError(xferv1.Reason_REASON_SOURCE_NOT_FOUND, "source submit n1:/a: no such file (SOURCE_NOT_FOUND)")}}
		r = w.run(t, "cp -o json n1:/a n2:/b")
		if r.code != 3 || !strings.Contains(r.out, `"event":"error"`) || !strings.Contains(r.out, `"exit_code":3,"reason":"SOURCE_NOT_FOUND"`) || !strings.HasPrefix(r.err, "xferctl: source submit") {
			t.Errorf("%+v", r)
		}
	})
}

func TestDetach(t *testing.T) {
	w := &world{api: &fake{existed: true}}
	if r := w.run(t, "cp --detach --id job-7 n1:/a n2:/b"); r.code != 0 || r.out != "nodes/n1/transfers/job-7\n" || !strings.Contains(r.err, "exists already") {
		t.Errorf("%+v", r)
	}
}

// TestFailedIDStaysFailed: the way on from there is told.
func TestFailedIDStaysFailed(t *testing.T) {
	over := transfer(func(t *xferv1.Transfer) {
		t.State, t.Error = xferv1.State_STATE_FAILED, &xferv1.Error{Reason: "DEST_PERMISSION", Message: "no"}
	})
	w := &world{api: &fake{existed: true, state: over.State, full: over, waits: []wait{{t: over}}}}
	r := w.run(t, "cp --id new n1:/a/dir n2:/b/dir")
	if r.code != 11 || !strings.Contains(r.err, "exists already and is over") || !strings.HasSuffix(r.err, "to run it again: xferctl transfers retry n1/new, or give another --id\n") {
		t.Errorf("%+v", r)
	}
	w.api.existed, w.api.state = false, 0
	if r := w.run(t, "cp --id new n1:/a/dir n2:/b/dir"); strings.Contains(r.err, "retry") {
		t.Errorf("%+v", r)
	}
}

func TestInterruptCancels(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		full := transfer(func(t *xferv1.Transfer) { t.State, t.Error = cancelled, &xferv1.Error{Reason: "CANCELLED"} })
		w := &world{api: &fake{full: full, waits: []wait{{t: running(1, true), block: true}}, cancelled: make(chan struct{})}, signals: make(chan os.Signal, 4)}
		time.AfterFunc(30*time.Second, func() { w.signals <- os.Interrupt })
		r := w.run(t, "cp n1:/a/dir n2:/b/dir")
		if r.code != 130 || !slices.Contains(w.api.calls, "cancel nodes/n1/transfers/new") || !strings.Contains(r.err, "running the same command again goes on from here") || !strings.HasPrefix(r.out, "CANCELLED ") {
			t.Errorf("%+v, %q", r, w.api.calls)
		}
	})
}

func TestInterruptWaitsTenSeconds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		stuck := &fake{waits: []wait{{t: running(1, true), block: true}}}
		w := &world{api: stuck, signals: make(chan os.Signal, 4)}
		time.AfterFunc(time.Second, func() { w.signals <- os.Interrupt })
		start := time.Now()
		r := w.run(t, "cp n1:/a/dir n2:/b/dir")
		if took := time.Since(start); r.code != 130 || took != 11*time.Second || !strings.Contains(r.err, "goes on from here") || !strings.Contains(r.err, "transfers show n1/new") {
			t.Errorf("%+v after %v", r, took)
		}

		// A second one leaves at once.
		w = &world{api: stuck, signals: make(chan os.Signal, 4)}
		time.AfterFunc(time.Second, func() { w.signals <- os.Interrupt })
		time.AfterFunc(3*time.Second, func() { w.signals <- os.Interrupt })
		start = time.Now()
		if r := w.run(t, "cp n1:/a/dir n2:/b/dir"); r.code != 130 || time.Since(start) != 3*time.Second {
			t.Errorf("%+v after %v", r, time.Since(start))
		}
	})
}

func TestOtherSignalsDetach(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for s, code := range map[os.Signal]int{syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
			w := &world{api: &fake{waits: []wait{{t: running(1, true), block: true}}}, signals: make(chan os.Signal, 4)}
			time.AfterFunc(time.Minute, func() { w.signals <- s })
			r := w.run(t, "cp n1:/a/dir n2:/b/dir")
			if r.code != code || !strings.Contains(r.err, "the transfer goes on: nodes/n1/transfers/new") || slices.ContainsFunc(w.api.calls, func(c string) bool { return strings.HasPrefix(c, "cancel") }) {
				t.Errorf("%v: %+v, %q", s, r, w.api.calls)
			}
		}
	})
}

func TestInterruptBeforeTheAnswer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			err  error
			want string
		}{
			{callError(xferv1.Reason_REASON_TRANSFER_NOT_FOUND, "none"), "nothing was copied"},
			{nil, "before anything moved"},
		} {
			w := &world{api: &fake{submitErr: context.Canceled, cancelErr: c.err}, signals: make(chan os.Signal, 4)}
			w.signals <- os.Interrupt
			if r := w.run(t, "cp n1:/a/dir n2:/b/dir"); r.code != 130 || !strings.Contains(r.err, c.want) {
				t.Errorf("%+v", r)
			}
		}
	})
}

func TestLossOfTheDaemon(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		// It comes back within the minute.
		w := &world{api: &fake{full: transfer(nil), waits: []wait{{err: errGone}, {err: errGone}, {t: running(1, true), block: true}, {err: callError(xferv1.Reason_REASON_NODE_UNKNOWN, "?")}, {t: transfer(nil)}}}}
		want := "xferctl: warning: the server does not answer; waiting up to 1m\nxferctl: the server answers again after 0.75s\n" +
			"xferctl: warning: the server cannot tell of the transfer now (NODE_UNKNOWN); waiting up to 1m\nxferctl: the server answers again after 0.25s\n"
		if r := w.run(t, "cp n1:/a/dir n2:/b/dir"); r.code != 0 || r.err != want {
			t.Errorf("%+v", r)
		}
		w.api.waits = []wait{{err: errGone}, {t: transfer(nil)}}
		if r := w.run(t, "cp -q n1:/a/dir n2:/b/dir"); r.code != 0 || r.err != "" {
			t.Errorf("%+v", r)
		}
		// It does not.
		w = &world{api: &fake{waits: []wait{{err: errGone}}}}
		start := time.Now()
		r := w.run(t, "cp n1:/a/dir n2:/b/dir")
		if took := time.Since(start); r.code != 10 || took < lostWait || took > lostWait+10*time.Second || !strings.Contains(r.err, "goes on without xferctl, if its node lives: nodes/n1/transfers/new") {
			t.Errorf("%+v after %v", r, took)
		}
		// It forgot the transfer.
		w.api.waits = []wait{{err: callError(xferv1.Reason_REASON_TRANSFER_NOT_FOUND, "it was forgotten")}}
		if r := w.run(t, "cp n1:/a/dir n2:/b/dir"); r.code != 3 {
			t.Errorf("%+v", r)
		}
	})
}

// TestHungDaemon: it is there, but answers nothing at all. That is said long
// before the call is given up.
func TestHungDaemon(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, line := range []string{"cp n1:/a/dir n2:/b/dir", "cp -P n1:/a/dir n2:/b/dir"} {
			w := &world{api: &fake{waits: []wait{{t: running(1, true), block: true}, {hang: true}}}, signals: make(chan os.Signal, 1)}
			time.AfterFunc(7*time.Second, func() { w.signals <- syscall.SIGTERM })
			r := w.run(t, line)
			if r.code != 143 || strings.Count(r.err, "\n") != 2 || !strings.HasPrefix(r.err, "xferctl: warning: the server does not answer; waiting up to 1m\n") {
				t.Errorf("%s: %+v", line, r)
			}
		}
		w := &world{tty: true, api: &fake{full: transfer(nil), waits: []wait{{t: running(1<<30, true), block: true}, {err: errGone}, {err: errGone}, {t: transfer(nil)}}}}
		r := w.run(t, "cp n1:/a/dir n2:/b/dir")
		if r.code != 0 || strings.Count(r.err, "\x1b[Jxferctl: ") != 2 || !strings.Contains(r.err, "  no answer\r") {
			t.Errorf("%+v", r)
		}
		w = &world{tty: true, api: &fake{waits: []wait{{t: running(1<<30, true), block: true}, {hang: true}}}, signals: make(chan os.Signal, 1)}
		time.AfterFunc(5*time.Second, func() { w.signals <- syscall.SIGTERM })
		if r := w.run(t, "cp n1:/a/dir n2:/b/dir"); r.code != 143 || !strings.Contains(r.err, "  no answer for 2s\r") || !strings.Contains(r.err, "  no answer for 3s\r") {
			t.Errorf("%+v", r)
		}
	})
}

// TestProgressOfALaterAttempt: its counters begin anew, and what has landed is
// there still.
func TestProgressOfALaterAttempt(t *testing.T) {
	var l landed
	for i, c := range []struct{ attempt, done, total, want int64 }{
		{1, 0, 10, 0}, {1, 100, 200, 100}, {2, 0, 5, 5}, {2, 0, 200, 100}, {2, 120, 200, 120}, {2, 110, 200, 110}, {3, 0, 200, 110},
	} {
		x := running(c.done, true)
		x.Counters.Attempts, x.Counters.BytesTotal = c.attempt, c.total
		if got := l.with(x, progressState(x, "")).Bytes; got != c.want {
			t.Errorf("step %d: %d bytes are shown, want %d", i, got, c.want)
		}
	}
}

func TestProgressOnATerminal(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		waiting := running(3<<30, true)
		waiting.WaitingReason, waiting.WaitingDetail, waiting.NextAttemptTime = "PEER_UNREACHABLE", "n2 does not answer", timestamppb.New(time.Now().Add(9*time.Second))
		w := &world{tty: true, api: &fake{full: transfer(nil), waits: []wait{{t: running(1<<30, false), block: true}, {t: running(2<<30, true), block: true}, {t: waiting, block: true}, {t: transfer(nil)}}}}
		r := w.run(t, "cp n1:/a/dir n2:/b/dir")
		if r.code != 0 || !strings.HasSuffix(r.err, "\x1b[J") {
			t.Errorf("%+v", r)
		}
		golden(t, "progress.txt", strings.NewReplacer("\r", "<CR>", "\x1b[1A", "<UP>", "\x1b[J", "<ERASE>\n").Replace(r.err))
		w.api.waits = []wait{{t: running(1, true), block: true}, {t: transfer(nil)}}
		if r := w.run(t, "cp --progress=false n1:/a/dir n2:/b/dir"); r.err != "" {
			t.Errorf("%q", r.err)
		}
	})
}
