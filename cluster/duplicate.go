package cluster

import (
	"context"
	"fmt"
	"net"
	"time"
)

// duplicatePings is how often another instance of our own id is asked for a
// sign of life before it counts as dead.
const duplicatePings = 3

// judgeGrace lets a node that started as our duplicate find out first and go.
const judgeGrace = 5 * time.Second

// checkDuplicate is for the first contact with the cluster: it returns
// ErrDuplicateNode if a live process has our id. Our own former instance, which
// the others may still take for alive, does not answer.
func (c *Cluster) checkDuplicate(ctx context.Context) error {
	for _, other := range c.view.otherSelves() {
		if other.gossip == c.Addr() || !c.answers(ctx, &other) {
			continue
		}
		return fmt.Errorf("%w: %s is alive at %s since %s", ErrDuplicateNode,
			c.cfg.NodeID, other.gossip, other.rec.started.UTC().Format(time.RFC3339))
	}
	return nil
}

// judgeDuplicate is for another instance of our id that appeared later. The
// newer of the two goes, if it has only just started; a node that has been at
// work for a while stays, and the alarm tells people.
func (c *Cluster) judgeDuplicate(ctx context.Context) error {
	if !pause(ctx, judgeGrace) {
		return nil
	}
	c.mu.Lock()
	mine := c.self.started
	c.mu.Unlock()
	for _, other := range c.view.otherSelves() {
		if other.gossip == c.Addr() || !c.answers(ctx, &other) {
			continue
		}
		if other.rec.started.Before(mine) && time.Since(mine) < c.timing.second {
			return fmt.Errorf("%w: %s is alive at %s", ErrDuplicateNode, c.cfg.NodeID, other.gossip)
		}
		c.stats.conflicts.Add(1)
		c.log.Error("another live node has this node's name", "node", c.cfg.NodeID,
			"instance", other.rec.instance, "addr", other.gossip.String())
	}
	return nil
}

// answers reports whether the very process of that instance is alive.
func (c *Cluster) answers(ctx context.Context, in *instance) bool {
	for range duplicatePings {
		if ctx.Err() != nil {
			return false
		}
		_, err := c.ml.Ping(nameOf(in.rec.id, in.rec.instance), net.UDPAddrFromAddrPort(in.gossip))
		if err == nil {
			return true
		}
		if !pause(ctx, c.conf.ProbeTimeout/10) { // a send that fails comes back at once
			return false
		}
	}
	return false
}
