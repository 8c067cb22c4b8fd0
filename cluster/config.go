package cluster

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// DefaultPort is the gossip port, TCP and UDP.
const DefaultPort = 7442

// Profile chooses the timing.
type Profile uint8

const (
	LAN   Profile = iota // one site; a death is seen in about 10 s
	WAN                  // slower probes, more patience
	Local                // all nodes on one machine; everyone is seen within tenths of a second
)

// Resolver looks names up; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Peer is an address where another node was once.
type Peer struct {
	ID     string         `json:"id"`
	Gossip netip.AddrPort `json:"gossip"`
}

// Config says who this node is and how it finds others. New keeps the slices.
type Config struct {
	NodeID   string
	Instance string // empty: random
	Cluster  string // name of the cluster; nodes of others are not heard
	Bind     string // host:port to listen on; port 0 picks one, empty is "0.0.0.0:7442"
	// Advertise is the IP that peers use for gossip, and for control and data
	// where Meta names no other. Empty: the bind address, which then must be
	// a specific one.
	Advertise string
	// Join returns the seeds, "host" or "host:port"; names are looked up anew at
	// every attempt. It is called from one goroutine. Nil: none.
	Join func() []string
	Meta Meta
	// KeyringKeys encrypt gossip (AES-GCM; 16, 24 or 32 bytes). The first one
	// encrypts, all of them decrypt. None: clear text.
	KeyringKeys [][]byte
	Profile     Profile
	Log         *slog.Logger // nil: discarded
	// LoadPeers and SavePeers remember addresses of peers over restarts, so that
	// a node finds its cluster again when every seed is gone. They may block,
	// and are called from one goroutine. Nil: nothing is remembered.
	LoadPeers func(ctx context.Context) ([]Peer, error)
	SavePeers func(ctx context.Context, peers []Peer) error
	// LeaveTimeout bounds the goodbye at the end of Run. 0 is 3 s.
	LeaveTimeout time.Duration
	Resolver     Resolver             // nil: net.DefaultResolver
	Transport    memberlist.Transport // nil: real sockets on Bind
}

// StaticJoin is a Join function over a fixed list.
func StaticJoin(seeds ...string) func() []string {
	seeds = slices.Clone(seeds)
	return func() []string { return seeds }
}

// timing is what a Profile means beyond memberlist's own settings.
type timing struct {
	rejoin time.Duration   // between attempts to find missing nodes
	settle []time.Duration // after the first join: full syncs with one more member each
	retry  time.Duration   // first pause while no seed answers; doubles up to rejoin
	update time.Duration   // least pause between two announcements of our metadata
	second time.Duration   // how long after the start a live duplicate is still fatal
}

func (p Profile) config() (*memberlist.Config, timing) {
	t := timing{
		rejoin: 30 * time.Second,
		// The tail of a burst of joins waits for full syncs, which come only
		// every 30 s or more. Two early ones with random members cut it off.
		settle: []time.Duration{time.Second, 4 * time.Second},
		retry:  time.Second,
		update: time.Second,
		second: time.Minute,
	}
	var c *memberlist.Config
	switch p {
	case WAN:
		c = memberlist.DefaultWANConfig()
		t.settle = []time.Duration{5 * time.Second, 15 * time.Second}
	case Local:
		c = memberlist.DefaultLocalConfig()
		c.GossipInterval = 50 * time.Millisecond
		c.RetransmitMult = 6
		t.rejoin = 5 * time.Second
		t.settle = []time.Duration{40 * time.Millisecond, 120 * time.Millisecond, 500 * time.Millisecond}
		t.retry = 20 * time.Millisecond
		t.update = 100 * time.Millisecond
	default:
		c = memberlist.DefaultLANConfig()
	}
	c.EnableCompression = false // metadata is small; decompression is attack surface
	c.HandoffQueueDepth = 4096  // bursts of 1000 nodes
	c.UDPBufferSize = 1400      // one Ethernet frame
	return c, t
}

var instanceEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func newInstance() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return instanceEncoding.EncodeToString(b[:])
}

// normalise checks the configuration and fills in what was left out.
func (c *Config) normalise() error {
	if err := CheckNodeID(c.NodeID); err != nil {
		return err
	}
	if c.Instance == "" {
		c.Instance = newInstance()
	}
	if err := checkInstance(c.Instance); err != nil {
		return err
	}
	if c.Cluster == "" {
		return errors.New("cluster name is empty")
	}
	if err := checkText(c.Cluster); err != nil {
		return fmt.Errorf("cluster name: %w", err)
	}
	if n := len(labelOf(c.Cluster)); n > memberlist.LabelMaxSize {
		return fmt.Errorf("cluster name is %d bytes too long", n-memberlist.LabelMaxSize)
	}
	if err := c.Meta.check(); err != nil {
		return err
	}
	for i, k := range c.KeyringKeys {
		if err := memberlist.ValidateKey(k); err != nil {
			return fmt.Errorf("gossip key %d: %w", i+1, err)
		}
	}
	if c.Profile > Local {
		return fmt.Errorf("unknown profile %d", c.Profile)
	}
	if c.Bind == "" {
		c.Bind = fmt.Sprintf("0.0.0.0:%d", DefaultPort)
	}
	if c.Join == nil {
		c.Join = func() []string { return nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.LeaveTimeout <= 0 {
		c.LeaveTimeout = 3 * time.Second
	}
	return nil
}

// check bounds what people configure; the version is ours and is cut.
func (m *Meta) check() error {
	for _, f := range []struct{ what, s string }{{"zone", m.Zone}, {"rack", m.Rack}} {
		if len(f.s) > MaxPlace {
			return fmt.Errorf("%s %q: %d bytes, the limit is %d", f.what, f.s, len(f.s), MaxPlace)
		}
		if err := checkText(f.s); err != nil {
			return fmt.Errorf("%s: %w", f.what, err)
		}
	}
	if len(m.Version) > MaxVersion {
		m.Version = m.Version[:MaxVersion]
	}
	if err := checkText(m.Version); err != nil {
		return fmt.Errorf("version: %w", err)
	}
	return nil
}

// labelOf keeps clusters apart on the wire; it is authenticated when gossip is
// encrypted.
func labelOf(cluster string) string { return "xferd/" + cluster }

// nameOf is memberlist's name of one instance of a node. A fresh name per start
// lets a restarted node in at once, on any address.
func nameOf(id, instance string) string { return id + "~" + instance }

// splitName undoes nameOf.
func splitName(name string) (id, instance string, ok bool) { return strings.Cut(name, "~") }
