package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// details takes the details of a status apart.
func details(t *testing.T, err error) (info *errdetails.ErrorInfo, retry *errdetails.RetryInfo, bad *errdetails.BadRequest) {
	t.Helper()
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			info = d
		case *errdetails.RetryInfo:
			retry = d
		case *errdetails.BadRequest:
			bad = d
		}
	}
	return info, retry, bad
}

// TestEveryReasonHasItsStatus maps an error of each reason of the table.
func TestEveryReasonHasItsStatus(t *testing.T) {
	for number, name := range xferv1.Reason_name {
		r := xferv1.Reason(number)
		if number == 0 {
			continue
		}
		err := Status(fmt.Errorf("wrapped: %w", &transfer.Error{
			Reason: transfer.Reason(r.Name()), Side: transfer.SideTarget, Phase: transfer.PhaseWrite,
			Node: "n2", Path: "/data/\x1b", Err: errFake, Hint: "do something",
		}))
		st := status.Convert(err)
		if st.Code() != codes.Code(r.Info().GetStatusCode()) {
			t.Errorf("%s has code %s", name, st.Code())
		}
		info, retry, _ := details(t, err)
		if info.GetReason() != r.Name() || info.GetDomain() != "xferd" {
			t.Errorf("%s has ErrorInfo %v", name, info)
		}
		want := map[string]string{"side": "destination", "phase": "write", "node": "n2", "path": `/data/\x1b`, "hint": "do something"}
		for k, v := range want {
			if info.GetMetadata()[k] != v {
				t.Errorf("%s: %s is %q", name, k, info.GetMetadata()[k])
			}
		}
		if (retry != nil) != r.Info().GetRetryable() {
			t.Errorf("%s: RetryInfo is %v, retryable %t", name, retry, r.Info().GetRetryable())
		}
		if retry != nil && retry.GetRetryDelay().AsDuration() <= 0 {
			t.Errorf("%s is to be retried at once", name)
		}
		if text := `destination write n2:/data/\x1b: as the test wants it (` + r.Name() + "); do something"; st.Message() != text {
			t.Errorf("%s has the text %q", name, st.Message())
		}
	}
}

func TestOtherErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   codes.Code
		reason string
	}{
		{context.Canceled, codes.Canceled, "CANCELLED"},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "DEADLINE_EXCEEDED"},
		{errors.New("what?"), codes.Internal, "INTERNAL"},
		{&transfer.Error{Reason: "FROM_NOWHERE", Err: errFake}, codes.Internal, "INTERNAL"},
		{&transfer.Error{Err: errFake}, codes.Internal, "INTERNAL"},
		{status.Error(codes.DataLoss, "as it is"), codes.DataLoss, ""},
		{&transfer.Error{Reason: transfer.DestBusy, Err: status.Error(codes.Unavailable, "inner")}, codes.Aborted, "DEST_BUSY"},
	} {
		err := Status(c.err)
		info, _, _ := details(t, err)
		if status.Code(err) != c.code || info.GetReason() != c.reason {
			t.Errorf("%v became %s %q", c.err, status.Code(err), info.GetReason())
		}
	}
	if Status(nil) != nil {
		t.Error("no error became one")
	}
}

// TestStatusFitsIntoHeaders: clients refuse statuses of more than a few KiB.
func TestStatusFitsIntoHeaders(t *testing.T) {
	long := strings.Repeat("\x80", 4096)
	err := Status(&transfer.Error{Reason: transfer.DestNoSpace, Path: long, Hint: long, Err: errors.New(long)})
	info, _, _ := details(t, err)
	for k, v := range info.GetMetadata() {
		if len(v) > maxText {
			t.Errorf("%s has %d bytes", k, len(v))
		}
	}
	if m := status.Convert(err).Message(); len(m) > maxText {
		t.Errorf("the message has %d bytes", len(m))
	}
	// A long path does not cost the cause.
	e := &transfer.Error{Reason: transfer.BadPath, Side: transfer.SideClient, Path: strings.Repeat("/é", 2000), Err: errFake, Hint: "shorten it"}
	if m := status.Convert(Status(e)).Message(); len(m) > maxText || !strings.HasPrefix(m, "client /é") || !strings.HasSuffix(m, errFake.Error()+" (BAD_PATH); shorten it") {
		t.Errorf("of a long path is told: %s", m)
	}
}

func TestFieldViolations(t *testing.T) {
	_, _, bad := details(t, Status(invalid("spec.streams", "%d is too many", 33)))
	if len(bad.GetFieldViolations()) != 1 || bad.GetFieldViolations()[0].GetField() != "spec.streams" || bad.GetFieldViolations()[0].GetDescription() != "33 is too many" {
		t.Errorf("BadRequest is %v", bad)
	}
}

func TestRemoteError(t *testing.T) {
	ours := Status(&transfer.Error{Reason: transfer.DestBusy, Err: errFake})
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		want transfer.Reason
	}{
		{"an answer stays", t.Context(), ours, transfer.DestBusy},
		{"not reached", t.Context(), status.Error(codes.Unavailable, "connection refused"), transfer.OwnerUnreachable},
		{"not trusted", t.Context(), status.Error(codes.Unauthenticated, "bad certificate"), transfer.OwnerUnreachable},
		{"our time limit", t.Context(), status.Error(codes.DeadlineExceeded, "late"), transfer.OwnerUnreachable},
		{"the caller's time limit", done, status.Error(codes.DeadlineExceeded, "late"), transfer.DeadlineExceeded},
		{"the caller gave up", done, status.Error(codes.Canceled, "gone"), transfer.Cancelled},
		{"the connection closed", t.Context(), status.Error(codes.Canceled, "closing"), transfer.OwnerUnreachable},
		{"an older node", t.Context(), status.Error(codes.Unimplemented, "unknown method"), transfer.Unsupported},
		{"too large", t.Context(), status.Error(codes.ResourceExhausted, "larger than max"), transfer.InvalidSpec},
		{"another service", t.Context(), status.Error(codes.NotFound, "nginx"), transfer.Internal},
		{"no status", t.Context(), errFake, transfer.Internal},
	} {
		if got := reasonOf(remoteError(c.ctx, "n2", c.err)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
