package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var nodeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// maxLabel is the length of a label, in bytes: labels travel in gossip.
const maxLabel = 32

// Validate returns every mistake at once, joined, each a *Mistake. It looks at
// nothing but the configuration: whether directories are there is found out by
// who opens them.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, c.Wrong(key, fmt.Errorf(format, args...))) }
	if !nodeName.MatchString(c.Name) {
		bad("name", "%q is no node id: write 1 to 63 letters, digits, '.', '_' or '-', the first and the last a letter or digit", c.Name)
	}
	if !nodeName.MatchString(c.Cluster) {
		bad("cluster", "%q is no name of a cluster: write 1 to 63 letters, digits, '.', '_' or '-', the first and the last a letter or digit", c.Cluster)
	}
	c.validateAddresses(bad)
	if c.StateDir == "" {
		bad("state_dir", "it is empty: write a directory on a local file system, such as /var/lib/xferd")
	}
	c.validateExports(&errs, bad)
	for _, key := range []string{"zone", "rack"} {
		if v := c.Labels[key]; len(v) > maxLabel || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			bad("labels."+key, "%q: write at most %d printable ASCII characters", v, maxLabel)
		}
	}
	oneOf := func(key, v string, of ...string) {
		if !slices.Contains(of, v) {
			bad(key, "%q is not known: write %s", v, strings.Join(of, " or "))
		}
	}
	oneOf("transport.policy", c.Transport.Policy, "auto", "rdma", "tcp")
	if c.BufferMemory < 64<<20 {
		bad("buffer_memory", "it is too small: write 64MiB or more")
	}
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "json", "text")
	return errors.Join(errs...)
}

func (c *Config) validateAddresses(bad func(key, format string, args ...any)) {
	used := map[string]string{}
	for _, l := range []struct{ key, addr, example string }{
		{"listen.control", c.Listen.Control, "127.0.0.1:7440"}, {"listen.data", c.Listen.Data, "127.0.0.1:7441"},
		{"listen.gossip", c.Listen.Gossip, "127.0.0.1:7442"}, {"listen.http", c.Listen.HTTP, "127.0.0.1:7443"},
	} {
		if l.addr == "" && l.key == "listen.http" {
			continue
		}
		if _, _, err := splitAddr(l.addr); err != nil {
			bad(l.key, "%w; write host:port, such as %q", err, l.example)
			continue
		}
		if other, twice := used[l.addr]; twice && !strings.HasSuffix(l.addr, ":0") {
			bad(l.key, "%q is the address of %s as well: give each a port of its own", l.addr, other)
		}
		used[l.addr] = l.key
	}
	for i, j := range c.Join {
		host, port, err := splitAddr(j)
		switch {
		case err != nil:
			bad(element("join", i), "%w; write host:port, such as \"10.0.0.1:7442\"", err)
		case host == "" || port == 0:
			bad(element("join", i), "%q names no node: write host:port, such as \"10.0.0.1:7442\"", j)
		}
	}
	if adv := c.advertised(); adv != "" && isLoopback(c.Listen.Gossip) {
		bad("listen.gossip", "it listens on loopback only, and others are told to reach this node at %s: they could not, nor could a node of the same name be found; listen on that address too", adv)
	}
	if c.Advertise == "" {
		return
	}
	if ip, err := netip.ParseAddr(c.Advertise); err != nil || ip.IsUnspecified() || ip.IsMulticast() {
		bad("advertise", "%q is not an IP address that others can reach: write one of this host's, such as 10.0.0.1, without a port", c.Advertise)
	}
}

// advertised names the address that others will be told, where it is not on
// loopback: the configured one, or that of the control port.
func (c *Config) advertised() string {
	addr := c.Advertise
	if addr == "" {
		host, _, err := splitAddr(c.Listen.Control)
		if err != nil {
			return ""
		}
		addr = host
	}
	switch ip, err := netip.ParseAddr(addr); {
	case addr == "", err == nil && ip.IsUnspecified() && c.Advertise == "":
		return "its routed address"
	case err != nil || ip.IsUnspecified() || ip.Unmap().IsLoopback():
		return ""
	}
	return addr
}

func isLoopback(addr string) bool {
	host, _, err := splitAddr(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// splitAddr takes host:port apart. The port is a number.
func splitAddr(addr string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host:port", addr)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q has the port %q, which is no number from 0 to 65535", addr, p)
	}
	return host, uint16(n), nil
}

func (c *Config) validateExports(errs *[]error, bad func(key, format string, args ...any)) {
	if len(c.Exports) == 0 {
		m := c.Wrong("exports", nil)
		m.Err = errors.New("there is none, and so nothing to copy: write one such as [{path: /data, mode: rw}]")
		if c.Origins[""] == "" {
			m.Key, m.Err = "", errors.New("no configuration file was given, and no --export: write --config FILE, or --export /data:rw")
		}
		*errs = append(*errs, m)
	}
	seen := map[string]int{}
	for i, e := range c.Exports {
		if e.Path == "" { // told already
			continue
		}
		p, key := filepath.Clean(e.Path), element("exports", i)
		if first, twice := seen[p]; twice {
			bad(key, "%s is given twice (%s): leave one of them out", p, cmp.Or(c.Origins[element("exports", first)], "before"))
			continue
		}
		if c.StateDir != "" && within(p, c.StateDir) {
			bad(key, "%s holds the state directory %s, which a transfer could overwrite: write another state_dir, or export a directory beside it", p, c.StateDir)
		}
		seen[p] = i
	}
}

// within reports whether path lies in dir or is dir, by whole components.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, filepath.Clean(path))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
