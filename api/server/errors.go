package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// This file is the one place where errors become statuses. What a reason means
// is in the table of api/xfer/v1/reasons.proto.

// maxText bounds each text of a status, in bytes: statuses travel in headers,
// for which many clients have 8 KiB in all.
const maxText = 1 << 10

// fieldError is a field of a request that is not valid.
type fieldError struct {
	field string // in the names of the message, with dots
	err   error
}

func (e *fieldError) Error() string { return e.field + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// refuse returns the error of a field that is not valid.
func refuse(reason transfer.Reason, field, format string, args ...any) *transfer.Error {
	return &transfer.Error{
		Reason: reason, Side: transfer.SideClient, Phase: transfer.PhaseSubmit,
		Err: &fieldError{field: field, err: fmt.Errorf(format, args...)},
	}
}

func invalid(field, format string, args ...any) *transfer.Error {
	return refuse(transfer.InvalidSpec, field, format, args...)
}

// Status returns the status of an error, for services beside the API. nil stays
// nil.
func Status(err error) error {
	if err == nil {
		return nil
	}
	return toStatus(err).Err()
}

// status gives an error its status, and logs those that are faults of ours.
func (s *Server) status(ctx context.Context, method string, err error) error {
	st := toStatus(err)
	if st.Code() == codes.Internal && !errors.Is(err, context.Canceled) {
		s.cfg.Log.Error("call failed", "method", method, "principal", callOf(ctx).Principal, "error", err.Error())
	}
	return st.Err()
}

// toStatus maps an error to its status. One that has a status already (another
// node gave it) keeps that.
func toStatus(err error) *status.Status {
	e, typed := errors.AsType[*transfer.Error](err)
	if !typed {
		if st, ok := status.FromError(err); ok {
			return st
		}
		e = &transfer.Error{Reason: transfer.Internal, Err: err}
		switch {
		case errors.Is(err, context.Canceled):
			e.Reason = transfer.Cancelled
		case errors.Is(err, context.DeadlineExceeded):
			e.Reason = transfer.DeadlineExceeded
		}
	}
	info := xferv1.ReasonInfoByName(string(e.Reason))
	if info == nil { // no reason at all, or one that the table lacks
		e = &transfer.Error{Reason: transfer.Internal, Side: e.Side, Phase: e.Phase, Node: e.Node, Path: e.Path, Err: err, Hint: e.Hint}
		info = xferv1.Reason_REASON_INTERNAL.Info()
	}

	meta := map[string]string{}
	for k, v := range map[string]string{
		"side": string(e.Side), "phase": string(e.Phase), "node": string(e.Node),
		"path": transfer.EscapePath(e.Path), "hint": e.Hint,
	} {
		if v != "" {
			meta[k] = clip(v)
		}
	}
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: string(e.Reason), Domain: xferv1.Domain, Metadata: meta}}
	if info.GetRetryable() {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay(e.Reason))})
	}
	if f, ok := errors.AsType[*fieldError](e.Err); ok {
		details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: clip(f.field), Description: clip(f.err.Error())},
		}})
	}
	st := status.New(codes.Code(info.GetStatusCode()), clip(e.Error()))
	if with, err := st.WithDetails(details...); err == nil {
		return with
	}
	return st // only OK statuses take no details
}

// retryDelay is how long to wait before the first try again.
func retryDelay(r transfer.Reason) time.Duration {
	switch r {
	case transfer.NodeUnknown, transfer.QueueFull, transfer.TooManyWatches, transfer.NodeDraining, transfer.NodeBusy, transfer.DestBusy, transfer.RegionBusy:
		return 5 * time.Second
	}
	return time.Second
}

// clip makes a text fit into a status: valid UTF-8 and not too long. What is too
// long loses its middle: messages begin with the place and end with the cause.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= maxText {
		return s
	}
	const half = (maxText - 3) / 2
	return strings.ToValidUTF8(s[:half], "") + "..." + strings.ToValidUTF8(s[len(s)-half:], "")
}
