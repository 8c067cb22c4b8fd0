package region

import "sync/atomic"

// Stats are sums over the regions of a node.
type Stats struct {
	Regions, Ready, Detached, Quarantined int
	Bytes                                 int64 // of all regions
	Attached                              int   // connections
	OpenWrites                            int
	Torn                                  int   // ranges
	Pinned                                int64 // bytes

	// Since the start.
	Commits, Written, TornWrites, Expired, Refused uint64 // Written: bytes
}

type counters struct {
	commits, torn, expired, refused atomic.Uint64
	written                         atomic.Int64
}

func (c *counters) refuse(err error) {
	if err != nil {
		c.refused.Add(1)
	}
}

// Stats takes time that is linear in the regions.
func (r *Registry) Stats() Stats {
	s := Stats{
		Commits: r.stats.commits.Load(), Written: uint64(r.stats.written.Load()), TornWrites: r.stats.torn.Load(),
		Expired: r.stats.expired.Load(), Refused: r.stats.refused.Load(),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Regions, s.Bytes = len(r.regions), r.bytes
	for _, g := range r.regions {
		g.mu.Lock()
		switch g.state {
		case Ready:
			s.Ready++
		case Detached:
			s.Detached++
		case Quarantined:
			s.Quarantined++
		}
		s.Attached += len(g.conns)
		s.OpenWrites += g.openWrites()
		s.Torn += len(g.torn)
		s.Pinned += g.pinned
		g.mu.Unlock()
	}
	return s
}
