package client

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// Error is a failed call, or a transfer that failed (see TransferError). What
// its Reason means stands in the table of api/xfer/v1/reasons.proto.
type Error struct {
	Reason string     // as xferv1.Reason.Name; empty where the node did not answer
	Code   codes.Code // of the call; for a transfer, that of the table
	// ExitCode is the one of xferctl.
	ExitCode int
	// Retryable: the same call can succeed later without anybody mending
	// anything, not before RetryAfter.
	Retryable  bool
	RetryAfter time.Duration

	Message string // for people; says where and why
	Side    string // "source", "destination", "owner", "client"; may be empty
	Phase   string // what that side was doing; may be empty
	Node    string // may be empty
	Path    string // escaped as in Go string literals; may be empty
	Hint    string // what to do next; part of Message when the call failed
	// Fields are those of the request that are not valid.
	Fields []Field
	Err    error // the status, or the error of the context
}

// Field is a field of a request that is not valid.
type Field struct{ Name, Problem string }

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an *Error of the same reason, so that
// errors.Is(err, &client.Error{Reason: "DEST_BUSY"}) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason != "" && t.Reason == e.Reason
}

// ReasonOf returns the reason of an error, or "".
func ReasonOf(err error) string {
	if e := AsError(err); e != nil {
		return e.Reason
	}
	return ""
}

// ExitCode returns the exit code of xferctl for an error, 0 for nil.
func ExitCode(err error) int {
	if e := AsError(err); e != nil {
		return e.ExitCode
	}
	return 0
}

// AsError gives the error of a call its meaning. An *Error stays as it is; nil
// is nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
	}
	e := &Error{Code: st.Code(), Message: st.Message(), Err: err}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() != xferv1.Domain {
				continue
			}
			m := d.GetMetadata()
			e.Reason, e.Side, e.Phase, e.Node, e.Path, e.Hint = d.GetReason(), m["side"], m["phase"], m["node"], m["path"], m["hint"]
		case *errdetails.RetryInfo:
			e.Retryable, e.RetryAfter = true, d.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, f := range d.GetFieldViolations() {
				e.Fields = append(e.Fields, Field{f.GetField(), f.GetDescription()})
			}
		}
	}
	if info := xferv1.ReasonInfoByName(e.Reason); info != nil {
		e.ExitCode = int(info.GetExitCode())
	} else {
		e.guess()
	}
	return e
}

// notLetIn ends the message of a call when the kernel did not let the caller
// connect to the socket. gRPC keeps nothing of that error but its text.
const notLetIn = "connect: permission denied"

// guess fills in what a status without a known reason can mean: the call did not
// reach a node, or the node is newer.
func (e *Error) guess() {
	switch e.Code {
	case codes.Canceled:
		e.ExitCode = 1
	case codes.DeadlineExceeded:
		e.ExitCode = 9
	case codes.Unavailable:
		if e.Reason == "" && strings.HasSuffix(strings.TrimRight(e.Message, `"`), notLetIn) {
			e.ExitCode = 11 // trying again does not help: somebody has to let the caller in
			return
		}
		e.ExitCode = 10
		e.Retryable = e.Retryable || e.Reason == ""
	case codes.ResourceExhausted:
		e.ExitCode = 10
	case codes.NotFound:
		e.ExitCode = 3
	case codes.InvalidArgument, codes.Unimplemented, codes.OutOfRange:
		e.ExitCode = 2
	case codes.PermissionDenied, codes.Unauthenticated:
		e.ExitCode = 11
	default:
		e.ExitCode = 1
	}
}

// severity orders the exit codes of several failures of one transfer.
var severity = []int{7, 8, 11, 4, 6, 5}

// TransferError returns nil for a transfer that succeeded or is not over, and
// otherwise what became of it. Where something could not be kept of what was
// copied, that is an error too: NOT_PRESERVED, exit code 5.
func TransferError(t *xferv1.Transfer) error {
	e := &Error{Reason: t.GetError().GetReason()}
	switch t.GetState() {
	case xferv1.State_STATE_SUCCEEDED:
		if n := t.GetCounters().GetEntriesLost(); n > 0 {
			return meaning(&Error{
				Reason:  xferv1.Reason_REASON_NOT_PRESERVED.Name(),
				Message: t.GetName() + ": some metadata of " + strconv.FormatInt(n, 10) + " entries could not be kept",
			})
		}
		return nil
	case xferv1.State_STATE_CANCELLED:
		e.Reason = xferv1.Reason_REASON_CANCELLED.Name()
		e.Message = t.GetName() + " was cancelled"
		if by := t.GetCancelledBy(); by != "" {
			e.Message += " by " + by
		}
		return meaning(e)
	case xferv1.State_STATE_FAILED, xferv1.State_STATE_PARTIALLY_SUCCEEDED:
	default:
		return nil
	}
	f := t.GetError()
	e.Side, e.Phase, e.Node, e.Hint = f.GetSide(), f.GetPhase(), f.GetNode(), f.GetHint()
	e.Path = escape(f.GetPath())
	e.Message = t.GetName() + ": " + f.GetMessage()
	if e.Reason == "" && t.GetState() == xferv1.State_STATE_PARTIALLY_SUCCEEDED {
		e.Reason = xferv1.Reason_REASON_PARTIAL_FAILURE.Name()
	}
	meaning(e)
	// That some entries failed says less than why: the gravest of them counts.
	if e.Reason == xferv1.Reason_REASON_PARTIAL_FAILURE.Name() {
		for _, r := range t.GetFailures() {
			code := int(xferv1.ReasonInfoByName(r.GetError().GetReason()).GetExitCode())
			if i := slices.Index(severity, code); i >= 0 && i < slices.Index(severity, e.ExitCode) {
				e.ExitCode = code
			}
		}
	}
	return e
}

// meaning fills in what the table says of the reason.
func meaning(e *Error) *Error {
	info := xferv1.ReasonInfoByName(e.Reason)
	e.Code, e.ExitCode, e.Retryable = codes.Code(info.GetStatusCode()), int(info.GetExitCode()), info.GetRetryable()
	if info == nil { // of a newer node
		e.Code, e.ExitCode = codes.Unknown, 1
	}
	return e
}

// escape makes bytes fit for a terminal.
func escape(p []byte) string {
	q := strconv.Quote(string(p))
	return q[1 : len(q)-1]
}
