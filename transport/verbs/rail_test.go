package verbs

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
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

// A host may have more ports, and more addresses on them, than a peer takes.
func TestOfferOfManyRailsAndAddresses(t *testing.T) {
	var rails []Rail
	for i := range 40 {
		r := Rail{Port: rdma.PortAttr{Port: i + 1, LinkLayer: rdma.LinkEthernet, ActiveMTU: rdma.MTU4096}}
		for k := range 200 {
			r.GIDs = append(r.GIDs, rdma.GIDEntry{GID: rdma.GID(netip.AddrFrom4([4]byte{200, 200, 100 + byte(i), 50 + byte(k)}).As16())})
		}
		rails = append(rails, r)
	}
	for _, n := range []int{1, 2, 8, 9, 16, 17, 40} {
		in, err := newIncoming(&Transport{}, transport.Edge{}, nil, transport.PrepareOptions{}, rails[:n])
		if err != nil {
			t.Fatal(err)
		}
		o, err := parseOffer(in.Grant().Params)
		if err != nil {
			t.Errorf("%d rails: %v", n, err)
			continue
		}
		if len(o.Rails) != min(n, maxRails) || len(o.Rails) != len(in.rails) {
			t.Errorf("%d rails: %d of %d", n, len(o.Rails), len(in.rails))
		}
		for i, r := range o.Rails {
			if len(r.GIDs) == 0 || r.GIDs[0] != rails[i].GIDs[0].GID {
				t.Errorf("%d rails: the best address is not among %d of rail %d", n, len(r.GIDs), i)
			}
		}
		in.cancel(nil)
	}
}

func TestMoreRailsThanAPeerTakes(t *testing.T) {
	inBubble(t, setup{rails: maxRails + 2}, func(t *testing.T, r *rig) {
		data, s := content(5*chunkSize), newStore(5*chunkSize)
		e := r.connect(t, s)
		if n := len(e.out.s.domains); n != maxRails {
			t.Errorf("%d rails", n)
		}
		if err := <-e.start(t.Context(), data, s); err != nil {
			t.Error(err)
		}
		if n := e.finish(t, data, s); n != 0 {
			t.Errorf("%d chunks went by another path", n)
		}
	})
}

// An address of the peer that this node has no port to does not hide the next one,
// and a second way over the same port is none.
func TestPathsByRoute(t *testing.T) {
	gid := func(a string) rdma.GID { return rdma.GID(netip.MustParseAddr(a).As16()) }
	rail := func(port int, addrs ...string) Rail {
		r := Rail{Port: rdma.PortAttr{Port: port, LinkLayer: rdma.LinkEthernet, ActiveMTU: rdma.MTU1024}}
		for i, a := range addrs {
			r.GIDs = append(r.GIDs, rdma.GIDEntry{GID: gid(a), Index: i})
		}
		return r
	}
	mine := []Rail{rail(1, "10.0.0.1", "2001:db8::1"), rail(2, "10.0.1.1")}
	theirs := offerOf([]Rail{rail(1, "192.168.0.2", "10.0.0.2"), rail(2, "10.0.0.3", "10.0.1.2"), rail(3, "2001:db8::2")})
	paths, err := choosePaths(mine, theirs, func(peer netip.Addr) (netip.Addr, error) {
		switch s := peer.String(); {
		case s == "2001:db8::2":
			return netip.MustParseAddr("2001:db8::1"), nil
		case s[:5] == "10.0.":
			return netip.MustParseAddr(s[:7] + "1"), nil
		}
		return netip.MustParseAddr("192.168.0.1"), nil // of no RDMA port
	})
	if err != nil || len(paths) != 2 {
		t.Fatalf("%+v %v", paths, err)
	}
	for i, want := range []string{"10.0.0.2", "10.0.1.2"} {
		if p := paths[i]; p.remote != gid(want) || p.rail != &mine[i] || p.peer != i {
			t.Errorf("%d: %s from %s to rail %d", i, p.remote, p.rail.GIDs[0].GID, p.peer)
		}
	}
}
