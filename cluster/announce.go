package cluster

import (
	"bytes"
	"context"
	"slices"
	"time"
)

// encodeSelf returns our metadata as it is now.
func (c *Cluster) encodeSelf() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.self
	if r.Draining && r.phase == phaseActive {
		r.phase = phaseDraining
	}
	return r.encode()
}

// updateBurst is how many changes in a row are spread without a pause.
const updateBurst = 4

// announce spreads changes of our metadata. A few go out at once; from then on
// they are no faster than the profile says, so that nobody who flips a state
// floods the cluster.
func (c *Cluster) announce(ctx context.Context) error {
	var paid time.Time // when the changes so far would be over, at the allowed rate
	for {
		select {
		case <-c.updates:
		case <-ctx.Done():
			return nil
		}
		now := time.Now()
		if paid.Before(now) {
			paid = now
		}
		if wait := paid.Add(-(updateBurst - 1) * c.timing.update).Sub(now); wait > 0 && !pause(ctx, wait) {
			return nil
		}
		paid = paid.Add(c.timing.update)
		c.mu.Lock()
		newest := c.changes // encodeSelf has it, or a newer one
		c.mu.Unlock()
		// It is queued at once, and the answer comes when it was sent as often
		// as memberlist sends it. That is more than it takes to reach a few.
		_ = c.ml.UpdateNode(c.spreadTime())
		c.mu.Lock()
		c.told = newest
		close(c.spread)
		c.spread = make(chan struct{})
		c.mu.Unlock()
	}
}

// spreadTime is about how long gossip takes to reach all members: in each round
// everybody who knows tells a few others.
func (c *Cluster) spreadTime() time.Duration {
	_, others := c.view.liveGossip()
	rounds := 2 // the one that has begun already, and the first
	for reached := c.conf.GossipNodes; reached < others; reached *= c.conf.GossipNodes + 1 {
		rounds++
	}
	return time.Duration(rounds) * c.conf.GossipInterval
}

// raise hands an alarm to watchAlarms without blocking.
func (c *Cluster) raise(a alarm) {
	if a.kind != alarmSelfDuplicate {
		c.stats.conflicts.Add(1)
	}
	select {
	case c.alarms <- a:
	default:
		c.stats.alarmsLost.Add(1) // counted as a conflict all the same
	}
}

// watchAlarms tells of alarms. It returns an error where this node has to go.
func (c *Cluster) watchAlarms(ctx context.Context) error {
	for {
		var a alarm
		select {
		case a = <-c.alarms:
		case <-ctx.Done():
			return nil
		}
		switch a.kind {
		case alarmDuplicate:
			c.log.Error("two live nodes have the same name; the newest is used",
				"node", a.id, "newest", a.newer, "other", a.old, "addr", a.addr.String())
		case alarmNameConflict:
			c.log.Error("two addresses claim one instance of a node: a forged or replayed message",
				"node", a.id, "instance", a.newer, "addr", a.addr.String())
		case alarmSelfDuplicate:
			if err := c.judgeDuplicate(ctx); err != nil {
				return err
			}
		}
	}
}

// pause waits for d and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func containsKey(keys [][]byte, k []byte) bool {
	return slices.ContainsFunc(keys, func(o []byte) bool { return bytes.Equal(o, k) })
}
