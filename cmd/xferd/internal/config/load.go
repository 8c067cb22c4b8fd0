package config

import (
	"errors"
	"flag"
	"path/filepath"
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
// are what did not stop it; err joins the mistakes of the result, each a
// *Mistake. They are all that can be told at once; of a file that is Unreadable
// that is its only one.
func Load(path string, f Flags, environ []string, dir string) (c Config, warnings []string, err error) {
	c = Default()
	var ofFile, ofRest []error
	if path != "" {
		if _, err := readFile(path, &c); Unreadable(err) {
			return c, nil, err
		} else if err != nil {
			ofFile = append(ofFile, err)
		}
		base, err := filepath.Abs(filepath.Dir(path))
		if err != nil {
			return c, nil, err
		}
		absolute(&c, base)
	}
	warnings, err = fromEnv(&c, environ)
	ofRest = append(ofRest, err)
	lists := map[string]bool{}
	for _, g := range f.given {
		if g.s.list && !lists[g.s.key] {
			// A list on the command line replaces the one of the file.
			lists[g.s.key] = true
			clearList(&c, g.s.key)
		}
		if err := c.apply(g.s, g.v, "--"+g.s.Flag()); err != nil {
			ofRest = append(ofRest, err)
		}
	}
	absolute(&c, dir)
	return c, warnings, JoinByKey(errors.Join(ofFile...), errors.Join(ofRest...), c.Validate())
}

func clearList(c *Config, key string) {
	switch key {
	case "join":
		c.Join = nil
	case "exports":
		c.Exports = nil
	case "transport.devices":
		c.Transport.Devices = nil
	}
}

func fromEnv(c *Config, environ []string) (warnings []string, err error) {
	var errs []error
	for _, kv := range environ {
		name, v, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "XFERD_") || name == "XFERD_CONFIG" {
			continue
		}
		i := slices.IndexFunc(settings, func(s setting) bool { return s.Env() == name })
		if i < 0 {
			warnings = append(warnings, told("environment variable "+name+" is none of xferd's"))
			continue
		}
		s := settings[i]
		values := []string{v}
		if s.list {
			clearList(c, s.key)
			values = strings.FieldsFunc(v, func(r rune) bool { return r == ',' })
		}
		for _, v := range values {
			if err := c.apply(s, v, name); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return warnings, errors.Join(errs...)
}
