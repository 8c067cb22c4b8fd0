package verbs

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/xferd/xferd/transport"
)

// Account is what passed between a port of this node and a peer since the
// transport was made, or since the peer was forgotten.
type Account struct {
	Peer   string // node
	Device string // empty where no port alone is to blame, which has FallBacks only
	Port   int
	// Sent is of this node as source, Received as target. A session counts on
	// each of its ports.
	Sent, Received Traffic
	// Rests is how often the path was left alone since it broke.
	Rests int64
	// FallBacks are the sessions of this node as source that did not come up or
	// broke, by reason: the rest went by another port or transport.
	FallBacks map[transport.Reason]int64
	// Completions that came, and calls of the device's library: for completions
	// (Polls), to be woken by them (Notifies), for what woke (Waits), and with
	// work (Posts).
	Completions                   int64
	Polls, Notifies, Waits, Posts int64
}

// Traffic is that of one direction.
type Traffic struct {
	Sessions int64 // that came up
	Open     int64 // of them that are not over
	Chunks   int64 // written, or taken out of their slots
	Bytes    int64 // of file content, in Chunks
}

// account is an Account that is counted.
type account struct {
	key   accountKey
	flows [2]flow

	rests                                      atomic.Int64
	completions, polls, notifies, waits, posts atomic.Int64

	// Guarded by ledger.mu.
	fallBacks map[transport.Reason]int64
	users     int    // domains
	used      uint64 // the higher the later
}

type accountKey struct {
	peer, device string
	port         int
}

// side is the direction of a session.
type side int

const (
	asSource side = iota
	asTarget
)

type flow struct{ sessions, open, chunks, bytes atomic.Int64 }

func (f *flow) moved(bytes int64) {
	f.chunks.Add(1)
	f.bytes.Add(bytes)
}

func (f *flow) read() Traffic {
	return Traffic{Sessions: f.sessions.Load(), Open: f.open.Load(), Chunks: f.chunks.Load(), Bytes: f.bytes.Load()}
}

// ledger has the accounts. There are as many as pairs of ports and peers, and
// peers come and go: those that are not in use are forgotten on demand, and the
// oldest of them when there are too many.
type ledger struct {
	mu       sync.Mutex
	accounts map[accountKey]*account
	clock    uint64
}

// maxAccounts bounds what is remembered beside what is in use.
const maxAccounts = 1024

// find returns the account of a path to a peer, or of none. Called with mu held.
func (l *ledger) find(peer string, p *path) *account {
	k := accountKey{peer: peer}
	if p != nil {
		k.device, k.port = p.rail.Device.Name(), p.rail.Port.Port
	}
	a := l.accounts[k]
	if a == nil {
		if len(l.accounts) >= maxAccounts {
			l.dropOldest()
		}
		if l.accounts == nil {
			l.accounts = map[accountKey]*account{}
		}
		a = &account{key: k}
		l.accounts[k] = a
	}
	l.clock++
	a.used = l.clock
	return a
}

// dropOldest makes room. Called with mu held.
func (l *ledger) dropOldest() {
	var oldest *account
	for _, a := range l.accounts {
		if a.users == 0 && (oldest == nil || a.used < oldest.used) {
			oldest = a
		}
	}
	if oldest != nil {
		delete(l.accounts, oldest.key)
	}
}

// use returns the account of a path for a domain, which gives it back with done.
func (l *ledger) use(peer string, p *path) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.find(peer, p)
	a.users++
	return a
}

func (l *ledger) done(a *account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.users--
}

// rested counts a path that is left alone.
func (l *ledger) rested(peer string, p *path) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.find(peer, p).rests.Add(1)
}

// fellBack counts a session of a source that failed, by path p or by none alone.
func (l *ledger) fellBack(peer string, p *path, why transport.Reason) {
	if !slices.Contains(reasons, why) {
		why = transport.QPError // a peer may say anything
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.find(peer, p)
	if a.fallBacks == nil {
		a.fallBacks = map[transport.Reason]int64{}
	}
	a.fallBacks[why]++
}

// reasons are those that a session can fail for.
var reasons = []transport.Reason{
	transport.NoLibrary, transport.NoKernel, transport.NoDevice, transport.PortDown, transport.NoGID, transport.NoPath,
	transport.Memlock, transport.PinnedLimit, transport.NoBuffers, transport.ProbeFailed, transport.QPError,
}

// Accounts returns what was counted, by peer, device and port. It may be called at
// any time.
func (t *Transport) Accounts() []Account {
	l := &t.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Account, 0, len(l.accounts))
	for k, a := range l.accounts {
		all = append(all, Account{
			Peer: k.peer, Device: k.device, Port: k.port,
			Sent: a.flows[asSource].read(), Received: a.flows[asTarget].read(),
			Rests: a.rests.Load(), FallBacks: maps.Clone(a.fallBacks),
			Completions: a.completions.Load(), Polls: a.polls.Load(), Notifies: a.notifies.Load(), Waits: a.waits.Load(), Posts: a.posts.Load(),
		})
	}
	slices.SortFunc(all, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Port, b.Port))
	})
	return all
}

// Forget drops the accounts of the peers that are gone, but for those with a
// session that is not over.
func (t *Transport) Forget(gone func(peer string) bool) {
	l := &t.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.accounts, func(k accountKey, a *account) bool { return a.users == 0 && gone(k.peer) })
}
