package verbs

import (
	"errors"
	"fmt"
	"strconv"
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
	case errors.Is(err, errPinned):
		return transport.PinnedLimit
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
	rail   int // of the target that it is about; -1: of none alone
	text   string
}

func (e *peerError) Error() string { return fmt.Sprintf("the peer gave up: %q", e.text) }

// failure tells the peer why this end gives up: the reason, with @ and the index
// of the rail of the target that failed, if one did; a newline; the error.
func failure(err error) []byte {
	text, rail := err.Error(), ""
	if e, ok := errors.AsType[*railError](err); ok {
		rail = fmt.Sprintf("@%d", e.path.peer)
	}
	return fmt.Appendf(nil, "%c%s%s\n%s", kindFail, reasonOf(err), rail, text[:min(len(text), wire.MaxText)])
}

// maxReason is the length that a reason of a peer may have.
const maxReason = 40

func parseFailure(b []byte) *peerError {
	reason, text, ok := strings.Cut(string(b[:min(len(b), maxReason+1+wire.MaxText)]), "\n")
	if !ok {
		return &peerError{rail: -1, text: reason}
	}
	rail := -1
	if name, index, ok := strings.Cut(reason, "@"); ok {
		if n, err := strconv.Atoi(index); err == nil && n >= 0 {
			reason, rail = name, n
		}
	}
	for _, c := range reason {
		if len(reason) > maxReason || (c < 'A' || c > 'Z') && c != '_' {
			return &peerError{rail: rail, text: text}
		}
	}
	return &peerError{transport.Reason(reason), rail, text}
}
