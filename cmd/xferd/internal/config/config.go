// Package config is what an operator can set of xferd: one YAML file, with a
// flag and an environment variable for every key. It reads, merges and checks;
// it opens nothing but the file.
package config

import (
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/xferd/xferd/cmd/internal/quantity"
)

// Config is a complete configuration. Durations and sizes are parsed; paths are
// absolute.
type Config struct {
	Name         string
	Cluster      string
	Advertise    string
	Listen       Listen
	Join         []string
	StateDir     string
	Exports      []Export
	Labels       map[string]string
	Transport    Transport
	BufferMemory int64
	Regions      Regions
	Limits       Limits
	Times        Times
	Insecure     bool
	Log          Log

	// Origins says where each key was set, for messages: FILE:LINE:COLUMN, a
	// flag, an environment variable. Elements of lists have keys of their own,
	// such as exports[0], and "" is the file. What has its default is not in it.
	Origins map[string]string
}

// Listen are the addresses of a node, each host:port, and its unix socket. An
// empty HTTP or Socket is not served.
type Listen struct {
	Control, Data, Gossip, HTTP string
	Socket, SocketGroup         string
}

// Export is one tree that may be read, or read and written.
type Export struct {
	Path string
	Mode string // "ro" or "rw"
}

// Transport is how the data plane is chosen by default.
type Transport struct {
	Policy string
	// Devices are the RDMA devices that may be used; none means all.
	Devices []string
}

// Regions bound the memory regions of programs.
type Regions struct {
	Memory       int64 // bytes of all; 0: half of what the machine has
	PerPrincipal int64 // bytes of one owner's; 0: no limit of its own
	Count        int
	// Of them, what may be registered with RDMA devices at a time, once for each
	// device; 0: three quarters of what the machine has, and no limit of its own.
	Pinned, PinnedPerPrincipal int64
}

// Limits bound what a node does at a time.
type Limits struct {
	Transfers int   // running as owner
	Queued    int   // waiting as owner
	Incoming  int   // running as target, of other nodes
	Bandwidth int64 // bytes per second of one transfer that asks for no lower one; 0: none
}

// Times are how long a node waits for what does not come.
type Times struct{ Stall, PartialTTL, OrphanTTL, Retention time.Duration }

// Log is where and how much is logged.
type Log struct{ Level, Format string }

// Default returns the configuration of an empty file.
func Default() Config {
	host, _ := os.Hostname()
	host, _, _ = strings.Cut(host, ".")
	return Config{
		Name:    host,
		Cluster: "default",
		Listen: Listen{
			Control: "127.0.0.1:7440", Data: "127.0.0.1:7441", Gossip: "127.0.0.1:7442", HTTP: "127.0.0.1:7443",
			Socket: "/run/xferd/xferd.sock",
		},
		StateDir:     "/var/lib/xferd",
		Labels:       map[string]string{},
		Transport:    Transport{Policy: "auto"},
		BufferMemory: 256 << 20,
		Regions:      Regions{Count: 10_000},
		Limits:       Limits{Transfers: 64, Queued: 10_000, Incoming: 64},
		Times: Times{
			Stall: 10 * time.Minute, PartialTTL: 168 * time.Hour,
			OrphanTTL: 10 * time.Minute, Retention: 720 * time.Hour,
		},
		Log: Log{Level: "info", Format: "json"},
	}
}

// setting is one key: how a flag, a variable or a scalar in the file sets it.
type setting struct {
	key  string // as in the file, with dots: listen.control
	help string
	list bool // may be given more than once; each one adds
	set  func(c *Config, v string) error
}

// Flag returns the key's flag, without dashes in front: listen-control.
func (s setting) Flag() string {
	if f, ok := map[string]string{"exports": "export"}[s.key]; ok {
		return f
	}
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.key)
}

// Env returns the key's environment variable: XFERD_LISTEN_CONTROL.
func (s setting) Env() string {
	return "XFERD_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(s.key))
}

func text(get func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error { *get(c) = v; return nil }
}

func duration(get func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, v string) error {
		d, err := parseDuration(v)
		*get(c) = d
		return err
	}
}

func size(get func(*Config) *int64) func(*Config, string) error {
	return func(c *Config, v string) (err error) {
		*get(c), err = quantity.ParseSize(v)
		return err
	}
}

var settings = []setting{
	{"name", "node id, stable over restarts; letters, digits, '.', '_' and '-' (default: the short host name)", false, text(func(c *Config) *string { return &c.Name })},
	{"cluster", "name of the cluster; nodes of other clusters are ignored", false, text(func(c *Config) *string { return &c.Cluster })},
	{"advertise", "address that peers use to reach this node (default: the routed address)", false, text(func(c *Config) *string { return &c.Advertise })},
	{"listen.control", "host:port of the gRPC API", false, text(func(c *Config) *string { return &c.Listen.Control })},
	{"listen.data", "host:port of the TCP data plane", false, text(func(c *Config) *string { return &c.Listen.Data })},
	{"listen.gossip", "host:port of the membership protocol, TCP and UDP", false, text(func(c *Config) *string { return &c.Listen.Gossip })},
	{"listen.http", "host:port of /metrics and /healthz; empty: not served", false, text(func(c *Config) *string { return &c.Listen.HTTP })},
	{"listen.socket", "path of the unix socket for xferctl; empty: not served", false, text(func(c *Config) *string { return &c.Listen.Socket })},
	{"listen.socket_group", "group that may open the socket (default: that of the process)", false, text(func(c *Config) *string { return &c.Listen.SocketGroup })},
	{"join", "host:port (gossip) of a node to join; a DNS name stands for all its addresses", true, func(c *Config, v string) error {
		c.Join = append(c.Join, v)
		return nil
	}},
	{"state_dir", "directory of the durable state; belongs to one node", false, text(func(c *Config) *string { return &c.StateDir })},
	{"exports", "tree that transfers may touch: PATH:ro or PATH:rw", true, addExport},
	{"labels.zone", "failure zone of the node", false, label("zone")},
	{"labels.rack", "rack of the node", false, label("rack")},
	{"transport.policy", "auto, rdma or tcp", false, text(func(c *Config) *string { return &c.Transport.Policy })},
	{"transport.devices", "RDMA device to use, such as mlx5_0; without any, all are", true, func(c *Config, v string) error {
		c.Transport.Devices = append(c.Transport.Devices, v)
		return nil
	}},
	{"buffer_memory", "size of the buffers of all transports together, such as 256MiB", false, size(func(c *Config) *int64 { return &c.BufferMemory })},
	{"regions.memory", "size of all memory regions together, such as 64GiB; 0B: half of the machine's memory", false, size(func(c *Config) *int64 { return &c.Regions.Memory })},
	{"regions.per_principal", "size of the memory regions of one owner; 0B: no limit of its own", false, size(func(c *Config) *int64 { return &c.Regions.PerPrincipal })},
	{"regions.count", "memory regions at a time", false, count(func(c *Config) *int { return &c.Regions.Count })},
	{"regions.pinned", "memory of regions that may be registered with RDMA devices at a time; 0B: three quarters of the machine's memory", false, size(func(c *Config) *int64 { return &c.Regions.Pinned })},
	{"regions.pinned_per_principal", "likewise for the transfers of one principal; 0B: no limit of its own", false, size(func(c *Config) *int64 { return &c.Regions.PinnedPerPrincipal })},
	{"limits.transfers", "transfers that this node runs at a time as owner", false, count(func(c *Config) *int { return &c.Limits.Transfers })},
	{"limits.queued", "transfers that may wait on this node", false, count(func(c *Config) *int { return &c.Limits.Queued })},
	{"limits.incoming", "transfers of other nodes that this node is the target of at a time", false, count(func(c *Config) *int { return &c.Limits.Incoming })},
	{"limits.bandwidth", "rate of each transfer, such as 500MB/s; 0B: no limit", false, func(c *Config, v string) (err error) {
		c.Limits.Bandwidth, err = quantity.ParseRate(v)
		return err
	}},
	{"times.stall", "a transfer that makes no progress for so long fails", false, duration(func(c *Config) *time.Duration { return &c.Times.Stall })},
	{"times.partial_ttl", "partial files are kept so long for a later run", false, duration(func(c *Config) *time.Duration { return &c.Times.PartialTTL })},
	{"times.orphan_ttl", "a destination stays locked so long without its owner", false, duration(func(c *Config) *time.Duration { return &c.Times.OrphanTTL })},
	{"times.retention", "ended transfers and their ids are remembered so long", false, duration(func(c *Config) *time.Duration { return &c.Times.Retention })},
	{"insecure", "serve addresses other than loopback without TLS: anybody who reaches them can read and write the exports", false, func(c *Config, v string) error {
		return parseBool(v, &c.Insecure)
	}},
	{"log.level", "debug, info, warn or error", false, text(func(c *Config) *string { return &c.Log.Level })},
	{"log.format", "json or text", false, text(func(c *Config) *string { return &c.Log.Format })},
}

func label(key string) func(*Config, string) error {
	return func(c *Config, v string) error {
		c.Labels = maps.Clone(c.Labels)
		c.Labels[key] = v
		return nil
	}
}

// apply sets one key to v, and remembers where that was asked for.
func (c *Config) apply(s setting, v, where string) error {
	c.origin(s.key, where)
	switch s.key {
	case "exports":
		c.origin(element(s.key, len(c.Exports)), where)
	case "join":
		c.origin(element(s.key, len(c.Join)), where)
	}
	if err := s.set(c, v); err != nil {
		return &Mistake{Where: where, Key: s.key, Err: err}
	}
	return nil
}

func (c *Config) origin(key, where string) {
	if c.Origins == nil {
		c.Origins = map[string]string{}
	}
	c.Origins[key] = where
}

// keys returns every key of the file, sections included.
func keys() []string {
	var all []string
	for _, s := range settings {
		section, _, nested := strings.Cut(s.key, ".")
		if nested && !slices.Contains(all, section) {
			all = append(all, section)
		}
		all = append(all, s.key)
	}
	return append(all, "exports.path", "exports.mode")
}
