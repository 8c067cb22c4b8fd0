package peer

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// plainError is an error of gRPC in words for people. What programs look for in
// it stays.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

// plain takes what gRPC puts around a cause away from the text of an error: "rpc
// error: code = Unavailable desc = connection error: desc = ...". Who calls adds
// node and address.
func plain(err error) error {
	const silent = "it did not answer in time"
	if errors.Is(err, context.DeadlineExceeded) {
		return &plainError{silent, err}
	}
	st, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err)
	if !ok {
		return err
	}
	if st.GRPCStatus().Code() == codes.DeadlineExceeded {
		return &plainError{silent, err}
	}
	text := st.GRPCStatus().Message()
	const inner = `desc = "`
	if i := strings.LastIndex(text, inner); i >= 0 {
		text = strings.TrimSuffix(text[i+len(inner):], `"`)
	}
	text = strings.TrimPrefix(text, "transport: ")
	text = strings.TrimPrefix(text, "Error while dialing: ")
	if i := strings.LastIndex(text, ": connect: "); i >= 0 && strings.HasPrefix(text, "dial ") {
		text = text[i+len(": connect: "):] // "dial tcp ADDRESS" before it
	}
	if strings.HasPrefix(text, "error reading server preface") {
		text = "it takes connections and says nothing"
	}
	if cause, ok := strings.CutPrefix(text, "error reading from server: "); ok {
		text = "the connection broke (" + cause + ")"
		if cause == "EOF" {
			text = "the connection was closed"
		}
	}
	return &plainError{text, err}
}
