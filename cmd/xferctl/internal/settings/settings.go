// Package settings finds out how a server is reached and how answers are
// shown: from flags, else XFERCTL_* in the environment, else the file
// ~/.config/xfer/config.yaml. It opens nothing but that file.
package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// DefaultServer is the socket of the node that xferctl runs on.
const DefaultServer = "unix:///run/xferd/xferd.sock"

// Settings are what flags, environment and file agree on.
type Settings struct {
	Server string // unix:///path or host:port
	CA     string // files, for TLS to a remote server
	Cert   string
	Key    string
	Output string // table, json or yaml
	// Insecure lets a remote server be called without TLS.
	Insecure bool
}

// key is one setting, in the file and in the environment.
type key struct {
	name  string
	field *string
	file  bool // the name of a file
}

// keys in the order in which they are listed, with their fields.
func (s *Settings) keys() []key {
	return []key{
		{"server", &s.Server, false}, {"ca", &s.CA, true}, {"cert", &s.Cert, true}, {"key", &s.Key, true}, {"output", &s.Output, false},
	}
}

// Sources is where settings come from, for tests to replace.
type Sources struct {
	// Flags has the flags that were given.
	Flags map[string]string
	// Environ is as os.Environ.
	Environ []string
	// ConfigDir is as os.UserConfigDir.
	ConfigDir func() (string, error)
}

// Load merges the sources. Warnings are about variables that mean nothing, since
// another version may know them, and about a file in the usual place that cannot
// be read, since nobody asked for that one by name.
func Load(src Sources) (s Settings, warnings []string, err error) {
	env := map[string]string{}
	for _, kv := range src.Environ {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, "XFERCTL_") {
			env[k] = v
		}
	}
	fromFile, err := load(src, env)
	if e, ok := errors.AsType[*unreadable](err); ok {
		warnings = append(warnings, e.Error())
	} else if err != nil {
		return s, nil, err
	}
	delete(env, "XFERCTL_CONFIG")
	insecure := ""
	for _, k := range append(s.keys(), key{"insecure", &insecure, false}) {
		name := "XFERCTL_" + strings.ToUpper(k.name)
		if v := fromFile[k.name]; v != "" {
			*k.field = v
		}
		if v := env[name]; v != "" {
			*k.field = v
		}
		if v, ok := src.Flags[k.name]; ok {
			*k.field = v
		}
		delete(env, name)
	}
	for k := range env {
		warnings = append(warnings, k+" in the environment means nothing to this xferctl")
	}
	slices.Sort(warnings)
	if s.Server == "" {
		s.Server = DefaultServer
	}
	if s.Output == "" {
		s.Output = "table"
	}
	if s.Insecure, err = truth(insecure); err != nil {
		return s, nil, fmt.Errorf("insecure: %w", err)
	}
	return s, warnings, s.check()
}

func truth(word string) (bool, error) {
	switch word {
	case "true", "1", "yes":
		return true, nil
	case "", "false", "0", "no":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", word)
}

func (s *Settings) check() error {
	if !slices.Contains([]string{"table", "json", "yaml"}, s.Output) {
		return fmt.Errorf("output %q is not one of table, json, yaml", s.Output)
	}
	if rest, ok := strings.CutPrefix(s.Server, "unix:"); ok {
		if !strings.HasPrefix(rest, "///") {
			return fmt.Errorf("server %q: write unix:// and an absolute path, as in %s", s.Server, DefaultServer)
		}
	} else if strings.HasPrefix(s.Server, "/") {
		return fmt.Errorf("server %q is a path; a socket is written unix://%s", s.Server, s.Server)
	} else if strings.ContainsAny(s.Server, "/ ") || !strings.Contains(s.Server, ":") {
		return fmt.Errorf("server %q is neither unix:///path nor host:port", s.Server)
	}
	if (s.Cert == "") != (s.Key == "") {
		return errors.New("--cert and --key are only useful together")
	}
	return nil
}

// Local reports whether the server is reached by its unix socket, and so is the
// node that a path without a node means.
func (s *Settings) Local() bool { return strings.HasPrefix(s.Server, "unix://") }

// load reads the file that XFERCTL_CONFIG names, or the one in its usual place,
// which need not exist.
func load(src Sources, env map[string]string) (map[string]string, error) {
	file, asked := env["XFERCTL_CONFIG"], true
	if file == "" {
		dir, err := src.ConfigDir()
		if err != nil { // no home directory: then there is no file in it
			return nil, nil //nolint:nilerr // see above
		}
		file, asked = filepath.Join(dir, "xfer", "config.yaml"), false
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && !asked {
		return nil, nil
	}
	if err != nil && !asked {
		return nil, &unreadable{err}
	}
	if err != nil {
		return nil, fmt.Errorf("XFERCTL_CONFIG: %w", err)
	}
	return parse(file, text)
}

// unreadable is the file in its usual place that is there but cannot be read.
type unreadable struct{ err error }

func (e *unreadable) Error() string { return "the settings are not read: " + e.err.Error() }

func parse(file string, text []byte) (map[string]string, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // some editors put it there
	var values map[string]string
	if err := yaml.Unmarshal(text, &values); err != nil {
		return nil, fmt.Errorf("%s: %s", file, yaml.FormatError(err, false, false))
	}
	var known []string
	for _, k := range (&Settings{}).keys() {
		known = append(known, k.name)
		if v := values[k.name]; k.file && v != "" && !filepath.IsAbs(v) {
			values[k.name] = filepath.Join(filepath.Dir(file), v)
		}
	}
	known = append(known, "insecure")
	for k := range values {
		if !slices.Contains(known, k) {
			return nil, fmt.Errorf("%s: unknown key %.100q; known are %s", file, k, strings.Join(known, ", "))
		}
	}
	return values, nil
}
