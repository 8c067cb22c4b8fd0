package trust

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"sync"

	"google.golang.org/grpc/peer"
)

// Caller is who makes a call, as far as the kernel knows.
type Caller struct {
	UID   uint32
	Known bool   // false: nothing vouches for the caller, and UID means nothing
	Name  string // of the user, for people; empty if it has none
	Via   string // "unix" or "tcp"
	PID   int32  // of the process that connected; 0 where it is not known
}

// Principal is the stable name of the caller in rules, logs and stored
// transfers: "uid:1000", or "unknown".
func (c Caller) Principal() string {
	if !c.Known {
		return "unknown"
	}
	return "uid:" + strconv.FormatUint(uint64(c.UID), 10)
}

// String is for people: "uid:1000 (ann)".
func (c Caller) String() string {
	if c.Name == "" {
		return c.Principal()
	}
	return c.Principal() + " (" + c.Name + ")"
}

// ErrDenied says that a caller may not call.
var ErrDenied = errors.New("permission denied")

// Allowed is the policy before there are rules: root and the user that xferd
// runs as may call. The error wraps ErrDenied.
func Allowed(c Caller) error { return allowed(c, uint32(os.Geteuid())) }

func allowed(c Caller, own uint32) error {
	switch {
	case !c.Known:
		return fmt.Errorf("%w: nothing proves who the caller is", ErrDenied)
	case c.UID == 0 || c.UID == own:
		return nil
	}
	return fmt.Errorf("%w: without rules only root and uid:%d may call, not %s", ErrDenied, own, c)
}

// CallerFrom returns the caller of an RPC that came in over Local. It reports
// false where the context is not of such an RPC.
func CallerFrom(ctx context.Context) (Caller, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Caller{}, false
	}
	info, ok := p.AuthInfo.(AuthInfo)
	return info.Caller, ok
}

// userNames keeps the names of users: a lookup can ask a directory server.
type userNames struct {
	mu    sync.Mutex
	known map[uint32]string
}

// maxUserNames bounds the cache; beyond it names are looked up each time.
const maxUserNames = 1024

var names = userNames{known: map[uint32]string{}}

func (n *userNames) of(uid uint32) string {
	n.mu.Lock()
	name, ok := n.known[uid]
	n.mu.Unlock()
	if ok {
		return name
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return "" // asked again next time: the user may be made in between
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) < maxUserNames {
		n.known[uid] = u.Username
	}
	return u.Username
}
