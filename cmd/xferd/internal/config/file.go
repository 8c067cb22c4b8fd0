package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds a configuration file; a larger one is certainly another file.
const maxFile = 1 << 20

// FileError is a mistake in a configuration file.
type FileError struct {
	Path         string
	Line, Column int // 0: the whole file
	Msg          string
}

func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.Path, e.Msg)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Path, e.Line, e.Column, e.Msg)
}

// readFile applies the file at path to c. It returns the keys that it set.
func readFile(path string, c *Config) (map[string]bool, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, &FileError{Path: path, Msg: "not a regular file of at most 1 MiB"}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := parser.ParseBytes(b, 0)
	if err != nil {
		return nil, &FileError{Path: path, Msg: err.Error()}
	}
	r := &reader{path: path, c: c, seen: map[string]bool{}}
	if len(f.Docs) > 1 {
		return nil, &FileError{Path: path, Msg: "more than one YAML document"}
	}
	for _, d := range f.Docs {
		if d.Body == nil {
			continue
		}
		if err := r.section("", d.Body); err != nil {
			return nil, err
		}
	}
	return r.seen, nil
}

type reader struct {
	path string
	c    *Config
	seen map[string]bool
}

func (r *reader) fail(n ast.Node, format string, args ...any) error {
	p := n.GetToken().Position
	return &FileError{Path: r.path, Line: p.Line, Column: p.Column, Msg: fmt.Sprintf(format, args...)}
}

// section reads the mapping n whose keys all begin with prefix.
func (r *reader) section(prefix string, n ast.Node) error {
	m, ok := n.(ast.MapNode)
	if !ok {
		if n.Type() == ast.NullType {
			return nil
		}
		what := strings.TrimSuffix(prefix, ".")
		if what == "" {
			what = "the file"
		}
		return r.fail(n, "%s must be a list of keys and values", what)
	}
	for it := m.MapRange(); it.Next(); {
		k := it.Key()
		key := prefix + k.String()
		if r.seen[key] {
			return r.fail(k, "%s is set twice", key)
		}
		r.seen[key] = true
		if err := r.value(key, k, it.Value()); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) value(key string, k, v ast.Node) error {
	if key == "exports" {
		return r.exports(v)
	}
	for _, s := range settings {
		if s.key == key {
			return r.scalar(s, v)
		}
		if strings.HasPrefix(s.key, key+".") {
			return r.section(key+".", v)
		}
	}
	hint := ""
	if n := nearest(key, keys()); n != "" {
		hint = fmt.Sprintf("; did you mean %s?", n)
	}
	return r.fail(k, "unknown key %s%s", key, hint)
}

func (r *reader) scalar(s setting, v ast.Node) error {
	values := []ast.Node{v}
	if seq, ok := v.(*ast.SequenceNode); ok {
		if !s.list {
			return r.fail(v, "%s takes one value, not a list", s.key)
		}
		values = seq.Values
	}
	for _, v := range values {
		sc, ok := v.(ast.ScalarNode)
		if !ok {
			return r.fail(v, "%s takes a plain value", s.key)
		}
		str := ""
		if x := sc.GetValue(); x != nil {
			str = fmt.Sprint(x)
		}
		if err := s.set(r.c, str); err != nil {
			return r.fail(v, "%s: %v", s.key, err)
		}
	}
	return nil
}

// exports reads a list of {path, mode}, or of PATH:mode.
func (r *reader) exports(v ast.Node) error {
	seq, ok := v.(*ast.SequenceNode)
	if !ok {
		return r.fail(v, "exports must be a list such as [{path: /data, mode: rw}]")
	}
	for _, item := range seq.Values {
		if sc, ok := item.(ast.ScalarNode); ok {
			if err := addExport(r.c, fmt.Sprint(sc.GetValue())); err != nil {
				return r.fail(item, "exports: %v", err)
			}
			continue
		}
		m, ok := item.(ast.MapNode)
		if !ok {
			return r.fail(item, "an export is {path: /data, mode: rw}")
		}
		var e Export
		for it := m.MapRange(); it.Next(); {
			sc, ok := it.Value().(ast.ScalarNode)
			if !ok {
				return r.fail(it.Value(), "exports: %s takes a plain value", it.Key())
			}
			switch val := fmt.Sprint(sc.GetValue()); it.Key().String() {
			case "path":
				e.Path = val
			case "mode":
				e.Mode = val
			default:
				return r.fail(it.Key(), "unknown key exports.%s; an export has path and mode", it.Key())
			}
		}
		if err := e.check(); err != nil {
			return r.fail(item, "%v", err)
		}
		r.c.Exports = append(r.c.Exports, e)
	}
	return nil
}

// absolute makes the paths of c absolute, relative ones beside the file.
func absolute(c *Config, base string) {
	abs := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(base, *p)
		}
	}
	abs(&c.StateDir)
	abs(&c.Listen.Socket)
	for i := range c.Exports {
		abs(&c.Exports[i].Path)
	}
}
