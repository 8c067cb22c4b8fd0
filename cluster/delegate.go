package cluster

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// delegate is the side of a Cluster that memberlist calls, often under its own
// locks: nothing here blocks, calls back, or keeps a slice.
type delegate struct{ c *Cluster }

var (
	_ memberlist.Delegate         = delegate{}
	_ memberlist.EventDelegate    = delegate{}
	_ memberlist.AliveDelegate    = delegate{}
	_ memberlist.ConflictDelegate = delegate{}
	_ memberlist.PingDelegate     = delegate{}
)

// recordOf reads and checks what a node says of itself.
func recordOf(n *memberlist.Node) (record, netip.AddrPort, error) {
	r, err := decodeRecord(n.Meta)
	if err != nil {
		return record{}, netip.AddrPort{}, err
	}
	if nameOf(r.id, r.instance) != n.Name {
		return record{}, netip.AddrPort{}, fmt.Errorf("metadata of %q under another name", nameOf(r.id, r.instance))
	}
	ip, ok := netip.AddrFromSlice(n.Addr)
	if !ok || ip.IsUnspecified() || n.Port == 0 {
		return record{}, netip.AddrPort{}, fmt.Errorf("no usable gossip address")
	}
	return r, netip.AddrPortFrom(ip.Unmap(), n.Port), nil
}

// NodeMeta returns our own metadata, which New made sure is short enough.
func (d delegate) NodeMeta(limit int) []byte {
	b := d.c.encodeSelf()
	if len(b) > limit {
		return nil // refused by every node, which beats memberlist's panic
	}
	return b
}

// NotifyAlive refuses nodes whose metadata cannot be read.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	if _, _, err := recordOf(n); err != nil {
		d.c.stats.badMeta.Add(1)
		return err
	}
	return nil
}

// NotifyJoin is part of memberlist.EventDelegate.
func (d delegate) NotifyJoin(n *memberlist.Node) {
	if r, gossip, err := recordOf(n); err == nil { // NotifyAlive counted the others
		d.c.view.up(r, gossip)
	}
}

// NotifyUpdate is part of memberlist.EventDelegate.
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.NotifyJoin(n) }

// NotifyLeave tells of the dead and of those who left alike: memberlist sets no
// state here. A node that leaves has said so in its metadata before.
func (d delegate) NotifyLeave(n *memberlist.Node) {
	if id, inst, ok := splitName(n.Name); ok {
		d.c.view.down(id, inst)
	}
}

// NotifyConflict tells of one name at two addresses. Names are random, so this
// is a replayed or forged message.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	id, inst, _ := splitName(other.Name)
	ip, _ := netip.AddrFromSlice(other.Addr)
	d.c.raise(alarm{kind: alarmNameConflict, id: id, newer: inst, addr: netip.AddrPortFrom(ip.Unmap(), other.Port)})
}

// NotifyPingComplete is a direct sign of life.
func (d delegate) NotifyPingComplete(n *memberlist.Node, _ time.Duration, _ []byte) {
	if id, inst, ok := splitName(n.Name); ok {
		d.c.view.proof(id, inst)
	}
}

// AckPayload is part of memberlist.PingDelegate.
func (delegate) AckPayload() []byte { return nil }

// NotifyMsg is part of memberlist.Delegate: xferd sends no messages by gossip.
func (delegate) NotifyMsg([]byte) {}

// GetBroadcasts is part of memberlist.Delegate.
func (delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState is part of memberlist.Delegate.
func (delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState is part of memberlist.Delegate.
func (delegate) MergeRemoteState([]byte, bool) {}
