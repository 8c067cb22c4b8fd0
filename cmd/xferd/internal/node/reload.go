package node

import (
	"github.com/xferd/xferd/cmd/xferd/internal/config"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/lifecycle"
)

// Reload takes over what can change while a node runs: exports, limits, policy,
// patience and retention; package config lists their keys. Transfers that run
// keep the exports that they started with. On an error nothing has changed.
func (n *Node) Reload(c config.Config) error {
	x, err := openExports(c)
	if err != nil {
		return err
	}
	n.engine.SetLimits(limits(c))
	n.receiver.SetMaxIncoming(c.Limits.Incoming)
	n.target.memory.SetMaxIncoming(c.Limits.Incoming)
	return n.exports.Swap(x).Close()
}

func limits(c config.Config) lifecycle.Limits {
	return lifecycle.Limits{
		MaxRunning: c.Limits.Transfers, MaxQueued: c.Limits.Queued, MaxRate: c.Limits.Bandwidth,
		Policy: transfer.Policy(c.Transport.Policy), Stall: c.Times.Stall, Retention: c.Times.Retention,
	}
}
