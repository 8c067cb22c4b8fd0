package config

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Flags are the values that were given on a command line.
type Flags struct{ given []given }

type given struct {
	s setting
	v string
}

// Define adds a flag for every key to fs. The values take effect in Load.
func (f *Flags) Define(fs *flag.FlagSet) {
	for _, s := range settings {
		add := func(v string) error {
			f.given = append(f.given, given{s, v})
			return s.set(&Config{Labels: map[string]string{}}, v)
		}
		if s.key == "insecure" {
			fs.BoolFunc(s.Flag(), s.help, add)
		} else {
			fs.Func(s.Flag(), s.help, add)
		}
	}
}

// Load merges, the strongest first: flags, environ (as os.Environ gives it) and
// the file at path, which may be empty for none. Relative paths are relative to
// the file's directory, or to dir where they do not come from a file. Warnings
// are what did not stop it; err holds every mistake of the result.
func Load(path string, f Flags, environ []string, dir string) (c Config, warnings []string, err error) {
	c = Default()
	if path != "" {
		if _, err := readFile(path, &c); err != nil {
			return c, nil, err
		}
		base, err := filepath.Abs(filepath.Dir(path))
		if err != nil {
			return c, nil, err
		}
		absolute(&c, base)
	}
	warnings, err = fromEnv(&c, environ)
	if err != nil {
		return c, warnings, err
	}
	lists := map[string]bool{}
	for _, g := range f.given {
		if g.s.list && !lists[g.s.key] {
			// A list on the command line replaces the one of the file.
			lists[g.s.key] = true
			clearList(&c, g.s.key)
		}
		if err := g.s.set(&c, g.v); err != nil {
			return c, warnings, fmt.Errorf("--%s: %w", g.s.Flag(), err)
		}
	}
	absolute(&c, dir)
	return c, warnings, c.Validate()
}

func clearList(c *Config, key string) {
	switch key {
	case "join":
		c.Join = nil
	case "exports":
		c.Exports = nil
	}
}

func fromEnv(c *Config, environ []string) (warnings []string, err error) {
	for _, kv := range environ {
		name, v, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "XFERD_") || name == "XFERD_CONFIG" {
			continue
		}
		i := slices.IndexFunc(settings, func(s setting) bool { return s.Env() == name })
		if i < 0 {
			warnings = append(warnings, "environment variable "+name+" is none of xferd's")
			continue
		}
		s := settings[i]
		values := []string{v}
		if s.list {
			clearList(c, s.key)
			values = strings.FieldsFunc(v, func(r rune) bool { return r == ',' })
		}
		for _, v := range values {
			if err := s.set(c, v); err != nil {
				return warnings, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return warnings, nil
}

var nodeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// Validate returns every mistake at once.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !nodeName.MatchString(c.Name) {
		bad("name %q: a node id is 1 to 63 letters, digits, '.', '_' or '-', and begins and ends with a letter or digit", c.Name)
	}
	if !nodeName.MatchString(c.Cluster) {
		bad("cluster %q: a cluster's name follows the rules of node ids", c.Cluster)
	}
	for _, l := range []struct{ key, addr string }{
		{"listen.control", c.Listen.Control}, {"listen.data", c.Listen.Data},
		{"listen.gossip", c.Listen.Gossip}, {"listen.http", c.Listen.HTTP},
	} {
		if l.addr == "" && l.key == "listen.http" {
			continue
		}
		if _, _, err := net.SplitHostPort(l.addr); err != nil {
			bad("%s %q is not host:port", l.key, l.addr)
		}
	}
	for _, j := range c.Join {
		if _, _, err := net.SplitHostPort(j); err != nil {
			bad("join %q is not host:port", j)
		}
	}
	if c.Advertise != "" && net.ParseIP(c.Advertise) == nil {
		bad("advertise %q is not an IP address", c.Advertise)
	}
	if c.StateDir == "" {
		bad("state_dir is empty")
	}
	if len(c.Exports) == 0 {
		bad("exports is empty: without an export there is nothing to copy; add one such as {path: /data, mode: rw}")
	}
	seen := map[string]bool{}
	for _, e := range c.Exports {
		p := filepath.Clean(e.Path)
		switch {
		case seen[p]:
			bad("export %s is given twice", p)
		case within(p, c.StateDir):
			bad("export %s holds the state directory %s: a transfer could overwrite it; move one of them", p, c.StateDir)
		}
		seen[p] = true
	}
	if c.Transport.Policy != "auto" && c.Transport.Policy != "tcp" {
		bad("transport.policy %q is neither auto nor tcp", c.Transport.Policy)
	}
	if c.BufferMemory < 64<<20 {
		bad("buffer_memory must be at least 64MiB")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		bad("log.level %q is none of debug, info, warn, error", c.Log.Level)
	}
	if c.Log.Format != "json" && c.Log.Format != "text" {
		bad("log.format %q is neither json nor text", c.Log.Format)
	}
	return errors.Join(errs...)
}

// within reports whether path lies in dir or is dir, by whole components.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, filepath.Clean(path))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
