package cluster

import "sync/atomic"

// stats counts what an operator should know of.
type stats struct {
	badMeta, foreign, undecryptable, conflicts, joins, joinErrors, alarmsLost atomic.Uint64
}

// Stats is what happened since New.
type Stats struct {
	BadMeta       uint64 // announcements refused for their metadata
	Foreign       uint64 // messages of another cluster
	Undecryptable uint64 // messages under another key, or in clear text where a key is set
	Conflicts     uint64 // two processes under one node id, or two addresses under one instance
	Joins         uint64 // full exchanges begun to find members, that worked
	JoinErrors    uint64 // and that did not
	Revision      uint64 // of the view
}

// Stats returns the counters.
func (c *Cluster) Stats() Stats {
	_, rev, _ := c.view.since(^uint64(0))
	return Stats{
		BadMeta:       c.stats.badMeta.Load(),
		Foreign:       c.stats.foreign.Load(),
		Undecryptable: c.stats.undecryptable.Load(),
		Conflicts:     c.stats.conflicts.Load(),
		Joins:         c.stats.joins.Load(),
		JoinErrors:    c.stats.joinErrors.Load(),
		Revision:      rev,
	}
}
