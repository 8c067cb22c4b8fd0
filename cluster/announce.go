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

// announce spreads changes of our metadata, no faster than the profile says, so
// that nobody who flips a state floods the cluster.
func (c *Cluster) announce(ctx context.Context) error {
	for {
		select {
		case <-c.updates:
		case <-ctx.Done():
			return nil
		}
		// The change is queued for gossip at once; the wait for it to be sent
		// serves nobody here.
		_ = c.ml.UpdateNode(time.Millisecond)
		if !pause(ctx, c.timing.update) {
			return nil
		}
	}
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
