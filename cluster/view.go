package cluster

import (
	"container/list"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// How long the gone are remembered, and how many of them.
const (
	keepFailed = 24 * time.Hour // also the time in which they are looked for
	keepLeft   = time.Hour
	maxGone    = 4096
)

// duplicateGrace is how long an older instance may still show signs of life
// after a newer one appeared: messages under way.
const duplicateGrace = 3 * time.Second

// view folds instances, which is what gossip knows, into members by node id. Its
// methods hold a mutex for a moment and never block: gossip calls them under
// its own lock.
type view struct {
	self  string // node id
	mine  string // own instance
	alarm func(alarm)

	mu       sync.Mutex
	nodes    map[string]*node
	byRev    *list.List // of *node, least recently changed first
	revision uint64
	here     int           // members that are Alive or Draining
	changed  chan struct{} // closed at the next change
}

type node struct {
	id        string
	instances map[string]*instance
	shown     Member
	joinedRev uint64 // of the latest Joined
	elem      *list.Element
	rev       uint64
	warned    time.Time // of the latest alarm about duplicates
}

type instance struct {
	rec    record
	gossip netip.AddrPort
	alive  bool
	joined time.Time // alive since
	since  time.Time // of the present state
	seen   time.Time
}

// alarm is something that a goroutine of Run should tell or look into.
type alarm struct {
	kind       alarmKind
	id         string
	newer, old string // instances
	addr       netip.AddrPort
}

type alarmKind uint8

const (
	alarmDuplicate     alarmKind = iota // two live processes with one node id
	alarmSelfDuplicate                  // another instance of our own id appeared
	alarmNameConflict                   // two addresses with one instance name
)

func newView(self, mine string, raise func(alarm)) *view {
	return &view{
		self: self, mine: mine, alarm: raise,
		nodes: map[string]*node{}, byRev: list.New(), changed: make(chan struct{}),
	}
}

// up records a live instance, new or with new metadata.
func (v *view) up(r record, gossip netip.AddrPort) {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.nodes[r.id]
	if n == nil {
		n = &node{id: r.id, instances: map[string]*instance{}}
		v.nodes[r.id] = n
		n.elem = v.byRev.PushBack(n)
	}
	in := n.instances[r.instance]
	if in == nil {
		in = &instance{}
		n.instances[r.instance] = in
	}
	if !in.alive {
		in.joined, in.since = now, now
		if r.id == v.self && r.instance != v.mine {
			v.alarm(alarm{kind: alarmSelfDuplicate, id: r.id, newer: r.instance, addr: gossip})
		}
	} else if in.rec.phase != r.phase {
		in.since = now
	}
	in.alive, in.rec, in.gossip, in.seen = true, r, gossip, now
	v.settle(n)
	v.suspect(n, r.instance, now)
}

// down records that an instance died or left.
func (v *view) down(id, inst string) {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.nodes[id]
	if n == nil {
		return
	}
	in := n.instances[inst]
	if in == nil || !in.alive {
		return
	}
	in.alive = false
	if in.rec.phase != phaseLeaving { // else it is Left since it said so
		in.since = now
	}
	v.settle(n)
}

// proof records a direct sign of life.
func (v *view) proof(id, inst string) {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.nodes[id]
	if n == nil {
		return
	}
	in := n.instances[inst]
	if in == nil {
		return
	}
	in.seen = now
	if n.shown.Instance == inst {
		n.shown.LastSeen = now // no event: it would be one per probe
	}
	v.suspect(n, inst, now)
}

// suspect looks for two live processes with one id: an instance gave a sign of
// life although a newer one has been here for a while.
func (v *view) suspect(n *node, inst string, now time.Time) {
	in, shown := n.instances[inst], n.instances[n.shown.Instance]
	if in == nil || shown == nil || in == shown || !in.alive || !shown.alive {
		return
	}
	later := in.joined
	if shown.joined.After(later) {
		later = shown.joined
	}
	if now.Sub(later) < duplicateGrace {
		return
	}
	if !n.shown.Duplicate {
		n.shown.Duplicate = true
		v.bump(n)
	}
	if now.Sub(n.warned) < time.Minute {
		return
	}
	n.warned = now
	v.alarm(alarm{kind: alarmDuplicate, id: n.id, newer: n.shown.Instance, old: inst, addr: in.gossip})
}

// settle chooses the instance to show and tells what changed.
func (v *view) settle(n *node) {
	var best *instance
	live := 0
	for _, in := range n.instances {
		if in.alive {
			live++
		}
		if best == nil || v.better(in, best) {
			best = in
		}
	}
	for name, in := range n.instances { // the dead besides the one shown are of no use
		if !in.alive && in != best {
			delete(n.instances, name)
		}
	}
	old := n.shown
	m := v.member(best)
	m.Duplicate = old.Duplicate && live > 1
	prev := old
	prev.LastSeen = m.LastSeen
	n.shown = m
	if prev == m {
		return // only seen again
	}
	v.bump(n)
	if m.State.Here() && (!old.State.Here() || m.Instance != old.Instance) {
		n.joinedRev = n.rev
	}
	if m.State.Here() != old.State.Here() {
		if m.State.Here() {
			v.here++
		} else {
			v.here--
		}
	}
}

// better orders instances: ourselves, then the living, then the newest.
func (v *view) better(a, b *instance) bool {
	if am, bm := v.isMine(a), v.isMine(b); am != bm {
		return am
	}
	if a.alive != b.alive {
		return a.alive
	}
	if c := a.rec.started.Compare(b.rec.started); c != 0 {
		return c > 0
	}
	return a.rec.instance > b.rec.instance
}

func (v *view) isMine(in *instance) bool { return in.rec.id == v.self && in.rec.instance == v.mine }

func (v *view) member(in *instance) Member {
	r, ip := &in.rec, in.gossip.Addr()
	m := Member{
		ID: r.id, Instance: r.instance, Started: r.started,
		Addr: hostPort(r.Control, ip), DataAddr: hostPort(r.Data, ip), Gossip: in.gossip,
		HTTPAddr: hostPort(netip.AddrPortFrom(netip.Addr{}, r.HTTPPort), ip),
		Zone:     r.Zone, Rack: r.Rack, Capabilities: r.Capabilities, Version: r.Version,
		Since: in.since, LastSeen: in.seen, Self: v.isMine(in),
	}
	switch {
	case r.phase == phaseLeaving:
		m.State = Left
	case !in.alive:
		m.State = Failed
	case r.phase == phaseDraining:
		m.State = Draining
	default:
		m.State = Alive
	}
	return m
}

// bump gives n the next revision and wakes watchers.
func (v *view) bump(n *node) {
	v.revision++
	n.rev = v.revision
	v.byRev.MoveToBack(n.elem)
	close(v.changed)
	v.changed = make(chan struct{})
}

// sweep forgets those who are gone for long.
func (v *view) sweep(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	gone := len(v.nodes) - v.here
	for e := v.byRev.Front(); e != nil; {
		n := e.Value.(*node)
		e = e.Next()
		if n.shown.State.Here() || len(n.instances) > 1 {
			continue
		}
		keep := keepFailed
		if n.shown.State == Left {
			keep = keepLeft
		}
		if gone > maxGone || now.Sub(n.shown.Since) > keep {
			v.byRev.Remove(n.elem)
			delete(v.nodes, n.id)
			gone--
		}
	}
}

func (v *view) lookup(id string) (Member, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := v.nodes[id]; n != nil {
		return n.shown, true
	}
	return Member{}, false
}

// members returns all of them, ordered by id.
func (v *view) members() []Member {
	v.mu.Lock()
	all := make([]Member, 0, len(v.nodes))
	for _, n := range v.nodes {
		all = append(all, n.shown)
	}
	v.mu.Unlock()
	slices.SortFunc(all, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// since returns the changes after rev, oldest first, the present revision, and
// a channel that is closed at the next change.
func (v *view) since(rev uint64) ([]Event, uint64, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var events []Event
	for e := v.byRev.Back(); e != nil; e = e.Prev() {
		n := e.Value.(*node)
		if n.rev <= rev {
			break
		}
		ev := Event{Revision: n.rev, Member: n.shown}
		switch {
		case n.shown.State == Failed:
			ev.Kind = MemberFailed
		case n.shown.State == Left:
			ev.Kind = MemberLeft
		case n.joinedRev > rev:
			ev.Kind = Joined
		default:
			ev.Kind = Updated
		}
		events = append(events, ev)
	}
	slices.Reverse(events)
	return events, v.revision, v.changed
}

// liveGossip returns where live instances are reached, ourselves included, and
// the number of other members that are here.
func (v *view) liveGossip() (addrs map[netip.AddrPort]struct{}, others int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	addrs = make(map[netip.AddrPort]struct{}, len(v.nodes))
	for _, n := range v.nodes {
		for _, in := range n.instances {
			if in.alive {
				addrs[in.gossip] = struct{}{}
			}
		}
	}
	others = v.here
	if n := v.nodes[v.self]; n != nil && n.shown.State.Here() {
		others--
	}
	return addrs, others
}

// otherSelves returns the live instances of our own id that are not us.
func (v *view) otherSelves() []instance {
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []instance
	if n := v.nodes[v.self]; n != nil {
		for _, in := range n.instances {
			if in.alive && !v.isMine(in) {
				list = append(list, *in)
			}
		}
	}
	return list
}

// count returns how many members are here, and the channel of the next change.
func (v *view) count() (int, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.here, v.changed
}
