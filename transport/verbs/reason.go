package verbs

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
)

// reasonOf finds the reason in an error of the set-up.
func reasonOf(err error) transport.Reason {
	if u, ok := errors.AsType[*transport.UnavailableError](err); ok && u.Reason != transport.NoReason {
		return u.Reason
	}
	if p, ok := errors.AsType[*peerError](err); ok && p.reason != transport.NoReason {
		return p.reason
	}
	switch {
	case errors.Is(err, errNoPath):
		return transport.NoPath
	case errors.Is(err, errGID):
		return transport.NoGID
	case errors.Is(err, errProbe):
		return transport.ProbeFailed
	case errors.Is(err, errNoBuffer):
		return transport.NoBuffers
	}
	if e, ok := errors.AsType[*rdma.Error](err); ok && e.Verb == "ibv_reg_mr" && (errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EPERM)) {
		return transport.Memlock
	}
	return transport.QPError
}

// unavailable is the failure of a session to come up.
func unavailable(peer string, reason transport.Reason, err error) error {
	return &transport.UnavailableError{Transport: transport.RDMA, Addr: peer, Reason: reason, Err: err}
}

// peerError is a peer that gave up and told why.
type peerError struct {
	reason transport.Reason
	text   string
}

func (e *peerError) Error() string { return fmt.Sprintf("the peer gave up: %q", e.text) }

// failure tells the peer why this end gives up: the reason, a newline, the error.
func failure(err error) []byte {
	text := err.Error()
	return fmt.Appendf(nil, "%c%s\n%s", kindFail, reasonOf(err), text[:min(len(text), wire.MaxText)])
}

// maxReason is the length that a reason of a peer may have.
const maxReason = 40

func parseFailure(b []byte) *peerError {
	reason, text, ok := strings.Cut(string(b[:min(len(b), maxReason+1+wire.MaxText)]), "\n")
	if !ok {
		return &peerError{text: reason}
	}
	for _, c := range reason {
		if len(reason) > maxReason || (c < 'A' || c > 'Z') && c != '_' {
			return &peerError{text: text}
		}
	}
	return &peerError{transport.Reason(reason), text}
}
