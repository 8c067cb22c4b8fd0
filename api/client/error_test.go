package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// TestEveryReasonIsRead: each line of the table arrives as it stands there.
func TestEveryReasonIsRead(t *testing.T) {
	for number := range xferv1.Reason_name {
		r := xferv1.Reason(number)
		if number == 0 {
			continue
		}
		e := AsError(fmt.Errorf("somewhere: %w", failure(r)))
		info := r.Info()
		if e.Reason != r.Name() || e.Code != codes.Code(info.GetStatusCode()) || e.ExitCode != int(info.GetExitCode()) || e.Retryable != info.GetRetryable() {
			t.Errorf("%s became %+v", r, e)
		}
		if e.Side != "owner" || e.Phase != "submit" || e.Node != "n1" || e.Path != "/data" || e.Hint != "wait" {
			t.Errorf("%s lost its place: %+v", r, e)
		}
		if e.Retryable != (e.RetryAfter > 0) {
			t.Errorf("%s is to be retried after %s", r, e.RetryAfter)
		}
		if !errors.Is(e, &Error{Reason: r.Name()}) || errors.Is(e, &Error{Reason: "OTHER"}) || errors.Is(e, &Error{}) {
			t.Errorf("%s does not match itself alone", r)
		}
	}
}

func TestOtherErrors(t *testing.T) {
	newer, _ := status.New(codes.Unavailable, "x").WithDetails(&errdetails.ErrorInfo{Reason: "FROM_THE_FUTURE", Domain: "xferd"})
	foreign, _ := status.New(codes.NotFound, "x").WithDetails(&errdetails.ErrorInfo{Reason: "SOURCE_NOT_FOUND", Domain: "example.org"})
	fields, _ := status.New(codes.InvalidArgument, "x").WithDetails(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "a", Description: "b"}}})
	for _, c := range []struct {
		err       error
		reason    string
		code      codes.Code
		exit      int
		retryable bool
	}{
		{status.Error(codes.Unavailable, "connection refused"), "", codes.Unavailable, 10, true},
		{status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial unix /x: connect: permission denied"`), "", codes.Unavailable, 11, false},
		{newer.Err(), "FROM_THE_FUTURE", codes.Unavailable, 10, false},
		{foreign.Err(), "", codes.NotFound, 3, false},
		{fields.Err(), "", codes.InvalidArgument, 2, false},
		{status.Error(codes.ResourceExhausted, "too large"), "", codes.ResourceExhausted, 10, false},
		{status.Error(codes.PermissionDenied, "no"), "", codes.PermissionDenied, 11, false},
		{context.DeadlineExceeded, "", codes.DeadlineExceeded, 9, false},
		{context.Canceled, "", codes.Canceled, 1, false},
		{errors.New("what?"), "", codes.Unknown, 1, false},
	} {
		e := AsError(c.err)
		if e.Reason != c.reason || e.Code != c.code || e.ExitCode != c.exit || e.Retryable != c.retryable || e.Error() == "" {
			t.Errorf("%v became %+v", c.err, e)
		}
		if !errors.Is(e, c.err) {
			t.Errorf("%v is lost", c.err)
		}
	}
	if AsError(nil) != nil || ReasonOf(nil) != "" || ExitCode(nil) != 0 {
		t.Error("no error has a meaning")
	}
	if e := AsError(fields.Err()); len(e.Fields) != 1 || e.Fields[0] != (Field{"a", "b"}) {
		t.Errorf("the fields are %v", e.Fields)
	}
}

func TestTransferError(t *testing.T) {
	failed := func(s xferv1.State, reason string, entries ...string) *xferv1.Transfer {
		tr := someTransfer("x", s)
		tr.Error = &xferv1.Error{Reason: reason, Message: "m", Path: []byte("/a\xff")}
		for _, r := range entries {
			tr.Failures = append(tr.Failures, &xferv1.EntryResult{Error: &xferv1.Error{Reason: r}})
		}
		return tr
	}
	lost := someTransfer("x", xferv1.State_STATE_SUCCEEDED)
	lost.Counters = &xferv1.Counters{EntriesLost: 2}
	partial, bad := xferv1.State_STATE_PARTIALLY_SUCCEEDED, xferv1.State_STATE_FAILED
	for name, c := range map[string]struct {
		t    *xferv1.Transfer
		exit int
	}{
		"running":             {someTransfer("x", xferv1.State_STATE_RUNNING), 0},
		"succeeded":           {someTransfer("x", xferv1.State_STATE_SUCCEEDED), 0},
		"not all kept":        {lost, 5},
		"cancelled":           {failed(xferv1.State_STATE_CANCELLED, "CANCELLED"), 13},
		"no space":            {failed(bad, "DEST_NO_SPACE"), 8},
		"of a newer node":     {failed(bad, "FROM_THE_FUTURE"), 1},
		"no reason":           {failed(bad, ""), 1},
		"partial":             {failed(partial, "PARTIAL_FAILURE"), 5},
		"partial, no reason":  {failed(partial, "", "SOURCE_VANISHED"), 6},
		"partial, permission": {failed(partial, "PARTIAL_FAILURE", "SOURCE_VANISHED", "DEST_PERMISSION", "DEST_IO_ERROR"), 11},
		"partial, corrupt":    {failed(partial, "PARTIAL_FAILURE", "DEST_NO_SPACE", "CHECKSUM_MISMATCH"), 7},
		"partial, other":      {failed(partial, "PARTIAL_FAILURE", "SOURCE_IO_ERROR"), 5},
		"all failed":          {failed(bad, "PARTIAL_FAILURE", "DEST_NO_SPACE"), 8},
		"max delete":          {failed(partial, "MAX_DELETE"), 12},
	} {
		err := TransferError(c.t)
		if ExitCode(err) != c.exit || (err == nil) != (c.exit == 0) {
			t.Errorf("%s: %d (%v), want %d", name, ExitCode(err), err, c.exit)
		}
	}
	if e := AsError(TransferError(failed(bad, "DEST_NO_SPACE"))); e.Path != `/a\xff` || e.Message != "nodes/n1/transfers/x: m" {
		t.Errorf("the error is %+v", e)
	}
}

func TestDial(t *testing.T) {
	for _, c := range []struct {
		server string
		o      Options
		good   bool
	}{
		{DefaultServer, Options{}, true},
		{"unix://relative", Options{}, false},
		{"127.0.0.1:7440", Options{}, true},
		{"[::1]:7440", Options{}, true},
		{"localhost:7440", Options{}, true},
		{"10.0.0.1:7440", Options{}, false},
		{"10.0.0.1:7440", Options{Insecure: true}, true},
		{"n1.example.org:7440", Options{TLS: &tls.Config{}}, true},
		{"n1", Options{Insecure: true}, false},
		{":7440", Options{Insecure: true}, false},
		{"n1:", Options{Insecure: true}, false},
		{"", Options{}, false},
	} {
		cl, err := Dial(c.server, c.o)
		if (err == nil) != c.good {
			t.Errorf("%q: %v", c.server, err)
		}
		if err != nil && ExitCode(err) != 2 {
			t.Errorf("%q: exit code %d", c.server, ExitCode(err))
		}
		if cl != nil {
			_ = cl.Close()
			_ = cl.Close()
		}
	}
}

func TestNames(t *testing.T) {
	if owner, id, err := ParseName(Name("n1", "a:b")); err != nil || owner != "n1" || id != "a:b" {
		t.Errorf("%s, %s, %v", owner, id, err)
	}
	for _, bad := range []string{"", "n1", "nodes/n1", "nodes/n1/transfers/", "nodes//transfers/a", "nodes/n1/transfers/a/b", "x/nodes/n1/transfers/a"} {
		if _, _, err := ParseName(bad); ExitCode(err) != 2 {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if a, b := NewID(), NewID(); a == b {
		t.Error("two ids are equal")
	}
}
