package peer

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"error reading from server: EOF": "the connection was closed",
		"error reading from server: read tcp 1.2.3.4:5->1.2.3.4:6: read: connection reset by peer":                        "the connection broke (read tcp 1.2.3.4:5->1.2.3.4:6: read: connection reset by peer)",
		`connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:7440: connect: connection refused"`: "connection refused",
		`connection error: desc = "error reading server preface: read tcp 1.2.3.4:5->1.2.3.4:6: i/o timeout"`:             "it takes connections and says nothing",
		"the node is stopping": "the node is stopping",
	} {
		err := status.Error(codes.Unavailable, in)
		got := plain(fmt.Errorf("around it: %w", err))
		if got.Error() != want || !errors.Is(got, err) || status.Code(got) != codes.Unavailable {
			t.Errorf("%q becomes %q", in, got)
		}
	}
	for _, err := range []error{context.DeadlineExceeded, status.FromContextError(context.DeadlineExceeded).Err()} {
		if got := plain(err); got.Error() != "it did not answer in time" || !errors.Is(got, err) {
			t.Errorf("%v becomes %v", err, got)
		}
	}
	if err := errors.New("mine"); plain(err) != err {
		t.Error("an error that is none of gRPC was changed")
	}
}
