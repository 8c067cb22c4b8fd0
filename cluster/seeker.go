package cluster

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

const (
	maxTargets = 3                // addresses per attempt: memberlist asks them one by one
	maxSeeds   = 2                // of them seeds, while others are worth asking too
	maxNames   = 16               // seeds looked at per attempt
	maxPeers   = 128              // remembered over restarts
	aliasRest  = 10 * time.Minute // how long a seed that led to nobody new is left alone
	lookupTime = 5 * time.Second  // for one name
	// seekersPerMissing is about how many nodes look for a failed one in each
	// interval, however large the cluster is.
	seekersPerMissing = 8
)

// seeker finds the cluster at the start and looks for what is missing ever
// after: without it a partition of more than half a minute never heals.
type seeker struct {
	c       *Cluster
	port    uint16 // of seeds without one
	peers   []Peer // of an earlier life
	saved   []Peer
	aliases map[netip.AddrPort]time.Time // seeds that are no member's address, until when to skip
	found   bool                         // a member was found once
	lost    bool                         // a member went, and who is missing is not back

	news     joinNews
	failures []joinFailure // of the attempt that runs, or was the last
}

func newSeeker(c *Cluster) seeker {
	return seeker{c: c, port: DefaultPort, aliases: map[netip.AddrPort]time.Time{}, news: newJoinNews(c.log)}
}

// run works until ctx ends. Its error is ErrDuplicateNode.
func (s *seeker) run(ctx context.Context) error {
	t, start := &s.c.timing, time.Now()
	s.load(ctx)
	wait := t.retry
	for {
		tried := s.attempt(ctx)
		if ctx.Err() != nil {
			return nil
		}
		_, others := s.c.view.liveGossip()
		s.news.attempted(s.c.cfg.Join(), s.failures, others, !s.found)
		if others > 0 && !s.found {
			s.found = true
			if time.Since(start) < t.second { // later it is an alarm, not an end
				if err := s.c.checkDuplicate(ctx); err != nil {
					return err
				}
			}
			if !s.settle(ctx) {
				return nil
			}
			if _, left := s.c.view.liveGossip(); left < others { // rest looks only from now on
				s.lost, wait, tried = true, t.retry, true
			}
		}
		s.c.view.sweep(time.Now())
		s.save(ctx)
		next := t.rejoin
		switch {
		case !tried:
			s.lost = false
		case others == 0 && !s.found, s.lost: // the seeds may come up after us; the lost may be back in a moment
			next, wait = wait, min(2*wait, t.rejoin)
		}
		went, ok := s.rest(ctx, jitter(next))
		if went {
			s.lost, wait = true, t.retry
			ok = pause(ctx, jitter(wait))
		}
		if !ok {
			return nil
		}
	}
}

// rest waits for d, or until a member went. Those who come meanwhile are
// remembered soon: this node may not live until the next attempt. ok is false
// when ctx ended.
func (s *seeker) rest(ctx context.Context, d time.Duration) (went, ok bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	have, more := s.c.view.count()
	for {
		select {
		case <-timer.C:
			return false, true
		case <-ctx.Done():
			return false, false
		case <-more:
		}
		now, _ := s.c.view.count()
		if now < have {
			return true, true
		}
		if now > have && !pause(ctx, s.c.timing.update) { // many may come at a time
			return false, false
		}
		s.save(ctx)
		have, more = s.c.view.count()
		if have < now {
			return true, true
		}
	}
}

// settle exchanges full state with a few random members soon after the first
// contact. In a burst of joins some pairs of nodes miss each other's gossip.
func (s *seeker) settle(ctx context.Context) bool {
	for _, d := range s.c.timing.settle {
		if !pause(ctx, jitter(d)) {
			return false
		}
		live, _ := s.c.view.liveGossip()
		delete(live, s.c.Addr())
		for a := range live { // map order is random enough
			s.join(a)
			break
		}
	}
	return ctx.Err() == nil
}

// attempt asks a few of the missing. It reports whether there was anyone to ask.
func (s *seeker) attempt(ctx context.Context) bool {
	s.failures = nil
	targets := s.targets(ctx)
	for _, t := range targets {
		if ctx.Err() != nil {
			break
		}
		ok := s.join(t.addr)
		if live, others := s.c.view.liveGossip(); ok && t.seed && others > 0 {
			if _, isMember := live[t.addr]; !isMember {
				// A load balancer, another of a member's addresses, or our own.
				s.aliases[t.addr] = time.Now().Add(aliasRest)
			}
		}
	}
	return len(targets) > 0
}

func (s *seeker) join(a netip.AddrPort) bool {
	if _, err := s.c.ml.Join([]string{a.String()}); err != nil {
		s.c.stats.joinErrors.Add(1)
		s.c.log.Debug("join", "addr", a.String(), "err", err)
		s.failures = append(s.failures, joinFailure{who: a.String(), cause: causeOf(err)})
		return false
	}
	s.c.stats.joins.Add(1)
	return true
}

type target struct {
	addr netip.AddrPort
	seed bool
}

// targets chooses whom to ask: missing seeds first, then failed members and
// peers of an earlier life.
func (s *seeker) targets(ctx context.Context) []target {
	live, others := s.c.view.liveGossip()
	live[s.c.Addr()] = struct{}{}
	now := time.Now()
	maps.DeleteFunc(s.aliases, func(_ netip.AddrPort, until time.Time) bool { return now.After(until) })
	var seeds, peers []target
	add := func(list *[]target, a netip.AddrPort, seed bool) {
		if _, known := live[a]; known {
			return
		}
		live[a] = struct{}{} // each address once
		if _, rest := s.aliases[a]; rest && others > 0 {
			return
		}
		*list = append(*list, target{a, seed})
	}
	for _, a := range s.seeds(ctx) {
		add(&seeds, a, true)
	}
	if others == 0 || rand.IntN(others+1) < seekersPerMissing {
		for _, m := range s.c.view.members() {
			if m.State == Failed && !m.Self {
				add(&peers, m.Gossip, false)
			}
		}
		s.peers = slices.DeleteFunc(s.peers, func(p Peer) bool {
			m, known := s.c.view.lookup(p.ID)
			return known && m.State != Failed
		})
		for _, p := range s.peers {
			add(&peers, p.Gossip, false)
		}
	}
	shuffle(seeds)
	shuffle(peers)
	if len(peers) > 0 && len(seeds) > maxSeeds {
		seeds = seeds[:maxSeeds]
	}
	all := append(seeds, peers...)
	return all[:min(len(all), maxTargets)]
}

// seeds looks the configured names up.
func (s *seeker) seeds(ctx context.Context) []netip.AddrPort {
	names := slices.Clone(s.c.cfg.Join())
	shuffle(names)
	var list []netip.AddrPort
	for _, name := range names[:min(len(names), maxNames)] {
		addrs, err := s.resolve(ctx, name)
		if err != nil {
			if ctx.Err() == nil {
				s.c.stats.joinErrors.Add(1)
				s.failures = append(s.failures, joinFailure{who: name, cause: causeOf(err), lookup: true})
			}
			continue
		}
		list = append(list, addrs...)
	}
	return list
}

func (s *seeker) resolve(ctx context.Context, name string) ([]netip.AddrPort, error) {
	if ap, err := netip.ParseAddrPort(name); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}, nil
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), s.port)}, nil
	}
	host, port := name, s.port
	if h, p, err := net.SplitHostPort(name); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("port %q is not a number from 1 to 65535", p)
		}
		host, port = h, uint16(n)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	var r Resolver = net.DefaultResolver
	if s.c.cfg.Resolver != nil {
		r = s.c.cfg.Resolver
	}
	ips, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	list := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		list[i] = netip.AddrPortFrom(ip.Unmap(), port)
	}
	return list, nil
}

func (s *seeker) load(ctx context.Context) {
	if s.c.cfg.LoadPeers == nil {
		return
	}
	peers, err := s.c.cfg.LoadPeers(ctx)
	if err != nil {
		s.c.log.Warn("peers of the last run are not known", "err", err)
		return
	}
	peers = slices.DeleteFunc(slices.Clone(peers), func(p Peer) bool {
		return !p.Gossip.IsValid() || p.Gossip.Port() == 0 || p.ID == s.c.cfg.NodeID
	})
	s.peers = peers[:min(len(peers), maxPeers)]
}

// save remembers who is here, and who failed: both may be there after our next
// start. Nothing is written while nothing changed, and never an empty list.
func (s *seeker) save(ctx context.Context) {
	if s.c.cfg.SavePeers == nil {
		return
	}
	var here, failed []Peer
	for _, m := range s.c.view.members() {
		switch p := (Peer{ID: m.ID, Gossip: m.Gossip}); {
		case m.Self:
		case m.State.Here():
			here = append(here, p)
		case m.State == Failed:
			failed = append(failed, p)
		}
	}
	peers := append(here, failed...)
	peers = peers[:min(len(peers), maxPeers)]
	if len(peers) == 0 || slices.Equal(peers, s.saved) {
		return
	}
	if err := s.c.cfg.SavePeers(ctx, peers); err != nil {
		s.c.log.Warn("peers cannot be remembered", "err", err)
		return
	}
	s.saved = peers
}

// jitter returns d ± 20 %.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()*0.4-0.2)*float64(d))
}

func shuffle[T any](s []T) {
	rand.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}
