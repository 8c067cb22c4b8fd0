package config

import (
	"strings"
	"testing"
)

// A node that tells others an address at which its gossip does not listen is
// seen by nobody, and its double is not found.
func TestGossipListensWhereItIsAdvertised(t *testing.T) {
	for _, c := range []struct {
		advertise, control, gossip string
		refused                    bool
	}{
		{"", "127.0.0.1:0", "127.0.0.1:0", false},
		{"10.0.0.1", "10.0.0.1:0", "127.0.0.1:0", true},
		{"10.0.0.1", "127.0.0.1:0", "localhost:0", true},
		{"", "10.0.0.1:0", "127.0.0.1:0", true},
		{"", "0.0.0.0:0", "127.0.0.1:0", true},
		{"", ":0", "[::1]:0", true},
		{"10.0.0.1", "0.0.0.0:0", "0.0.0.0:0", false},
		{"10.0.0.1", "10.0.0.1:0", "10.0.0.1:0", false},
		{"127.0.0.5", "0.0.0.0:0", "127.0.0.5:0", false},
		{"", "some.name:0", "127.0.0.1:0", false}, // nothing is known of it
	} {
		x := Default()
		x.Name, x.Advertise, x.Exports = "n1", c.advertise, []Export{{"/d", "rw"}}
		x.Listen.Control, x.Listen.Gossip = c.control, c.gossip
		err := x.Validate()
		if got := err != nil && strings.Contains(err.Error(), "listen.gossip: it listens on loopback only"); got != c.refused || !c.refused && err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
