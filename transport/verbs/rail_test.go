package verbs

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/xferd/xferd/rdma"
)

// infiniBand returns a GID of a subnet and a port in it.
func infiniBand(subnet, port byte) (g rdma.GID) {
	g[0], g[7], g[15] = 0xfe, subnet, port
	return g
}

// On InfiniBand there is no route to ask: a port leads to those of its own subnet.
func TestPathsOfInfiniBand(t *testing.T) {
	rails := func(subnets ...byte) (all []Rail) {
		for i, s := range subnets {
			all = append(all, Rail{
				Port: rdma.PortAttr{Port: i + 1, LinkLayer: rdma.LinkInfiniBand, LID: uint16(10 + i), ActiveMTU: rdma.MTU4096},
				GIDs: []rdma.GIDEntry{{GID: infiniBand(s, byte(i))}},
			})
		}
		return all
	}
	none := func(netip.Addr) (netip.Addr, error) { return netip.Addr{}, errors.New("no route") }
	for name, c := range map[string]struct {
		mine, theirs []byte
		want         string // ports of this node and rails of the peer
	}{
		"one":                  {[]byte{1}, []byte{1}, "[1-0]"},
		"two of one subnet":    {[]byte{1, 1}, []byte{1, 1}, "[1-0 2-1]"},
		"two subnets":          {[]byte{1, 2}, []byte{1, 2}, "[1-0 2-1]"},
		"two subnets, crossed": {[]byte{2, 1}, []byte{1, 2}, "[2-0 1-1]"},
		"one subnet in common": {[]byte{2, 1}, []byte{1}, "[2-0]"},
		"more at the peer":     {[]byte{1}, []byte{1, 1}, "[1-0]"},
		"more here":            {[]byte{1, 1}, []byte{1}, "[1-0]"},
		"none in common":       {[]byte{1}, []byte{2}, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			paths, err := choosePaths(rails(c.mine...), offerOf(rails(c.theirs...)), none)
			got := []string{}
			for _, p := range paths {
				got = append(got, fmt.Sprintf("%d-%d", p.rail.Port.Port, p.peer))
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("%v, want %s (%v)", got, c.want, err)
			}
			if (err == nil) != (len(paths) > 0) || err != nil && !errors.Is(err, errNoPath) {
				t.Error(err)
			}
			for _, p := range paths {
				if p.lid != uint16(10+p.peer) || p.gid.GID != p.rail.GIDs[0].GID {
					t.Errorf("%+v", p)
				}
			}
		})
	}
}
