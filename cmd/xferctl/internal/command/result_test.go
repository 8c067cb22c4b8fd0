package command

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

const (
	ok        = xferv1.State_STATE_SUCCEEDED
	partial   = xferv1.State_STATE_PARTIALLY_SUCCEEDED
	allFailed = xferv1.State_STATE_FAILED
	cancelled = xferv1.State_STATE_CANCELLED
)

func TestResultCode(t *testing.T) {
	for _, c := range []struct {
		name   string
		state  xferv1.State
		reason string
		lost   int64
		failed []int
		want   int
	}{
		{"all well", ok, "", 0, nil, 0},
		{"not kept", ok, "", 3, nil, 5},
		{"cancelled by another", cancelled, "CANCELLED", 0, nil, 13},
		{"one vanished", partial, "PARTIAL_FAILURE", 0, []int{6}, 6},
		{"no reason given", partial, "", 0, []int{11, 6}, 11},
		{"unreadable", partial, "PARTIAL_FAILURE", 0, []int{1}, 5},
		{"verification is worst", partial, "PARTIAL_FAILURE", 0, []int{6, 8, 7, 4}, 7},
		{"space before permission", partial, "PARTIAL_FAILURE", 0, []int{11, 8}, 8},
		{"nothing known of them", partial, "PARTIAL_FAILURE", 0, nil, 5},
		{"too many to delete", partial, "MAX_DELETE", 0, []int{6}, 12},
		{"too many in the way", partial, "MAX_DELETE", 0, []int{12}, 12},
		{"deletion suppressed", partial, "DELETE_SUPPRESSED", 0, []int{11}, 11},
		{"not preserved", partial, "NOT_PRESERVED", 0, nil, 5},
		{"deadline", allFailed, "DEADLINE_EXCEEDED", 0, []int{6}, 9},
		{"no source", allFailed, "SOURCE_NOT_FOUND", 0, nil, 3},
		{"stalled", allFailed, "STALLED", 0, nil, 10},
		{"rdma", allFailed, "RDMA_UNAVAILABLE", 0, nil, 14},
		{"full disk", allFailed, "DEST_NO_SPACE", 0, []int{7}, 7},
		{"source broken", allFailed, "SOURCE_IO_ERROR", 0, nil, 1},
		{"all vanished", allFailed, "PARTIAL_FAILURE", 0, []int{6, 6}, 6},
		{"all unreadable", allFailed, "PARTIAL_FAILURE", 0, []int{1, 1}, 1},
		{"all, mixed", allFailed, "PARTIAL_FAILURE", 0, []int{1, 4}, 4},
		{"all, mixed without a class", allFailed, "PARTIAL_FAILURE", 0, []int{1, 3}, 1},
		{"of a newer server", allFailed, "SOMETHING_NEW", 0, nil, 1},
		{"none given", allFailed, "", 0, nil, 1},
	} {
		tr := &xferv1.Transfer{State: c.state, Counters: &xferv1.Counters{EntriesLost: c.lost}}
		if c.reason != "" {
			tr.Error = &xferv1.Error{Reason: c.reason}
		}
		if got := resultCode(tr, c.failed); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// Every reason of the table must give an exit code that is documented.
func TestEveryReasonHasACode(t *testing.T) {
	documented := map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true, 10: true, 11: true, 12: true, 13: true, 14: true}
	for n, name := range xferv1.Reason_name {
		if n == 0 {
			continue
		}
		if c := reasonCode(xferv1.Reason(n).Name()); !documented[c] {
			t.Errorf("%s has exit code %d", name, c)
		}
	}
}

func TestFailedCodesAsksForAll(t *testing.T) {
	api := &fake{entries: []*xferv1.EntryResult{failed("a", xferv1.Reason_REASON_SOURCE_VANISHED), failed("z", xferv1.Reason_REASON_CHECKSUM_MISMATCH)}}
	tr := transfer(func(tr *xferv1.Transfer) {
		tr.State, tr.Error = partial, &xferv1.Error{Reason: "PARTIAL_FAILURE"}
		tr.Counters.EntriesFailed = 2
		tr.Failures = api.entries[:1]
	})
	codes, err := failedCodes(t.Context(), api, tr)
	if err != nil || resultCode(tr, codes) != 7 {
		t.Errorf("codes %v, %v", codes, err)
	}
}

func TestCodeOfCalls(t *testing.T) {
	if codeOf(nil) != 0 || codeOf(errors.New("x")) != 1 || codeOf(errGone) != 10 {
		t.Error("codes of errors")
	}
	if c := codeOf(callError(xferv1.Reason_REASON_PATH_NOT_ALLOWED, "")); c != 11 {
		t.Errorf("PATH_NOT_ALLOWED is %d", c)
	}
}

// What is told of a region that has no commit is no more than what can be true of it.
func TestRegionWithoutACommit(t *testing.T) {
	const part = "n2:@b not written, or in part: xferctl regions show tells what is torn"
	at := timestamppb.Now()
	for name, c := range map[string]struct {
		transfer *xferv1.Transfer
		want     string
	}{
		"queued":  {&xferv1.Transfer{State: xferv1.State_STATE_QUEUED}, "n2:@b not written"},
		"refused": {&xferv1.Transfer{StartTime: at, EndTime: at, Error: &xferv1.Error{Phase: "connect"}, Counters: &xferv1.Counters{Attempts: 1}}, "n2:@b not written"},
		"again":   {&xferv1.Transfer{StartTime: at, EndTime: at, Error: &xferv1.Error{Phase: "connect"}, Counters: &xferv1.Counters{Attempts: 2}}, part},
		"running": {&xferv1.Transfer{StartTime: at}, "n2:@b not committed yet: until then its bytes are undefined"},
		"ended":   {&xferv1.Transfer{StartTime: at, EndTime: at}, part},
	} {
		if got := regionLine(c.transfer, "n2:@b"); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
