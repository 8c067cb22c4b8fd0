package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds a configuration file; a larger one is certainly another file.
const maxFile = 1 << 20

// readFile applies the file at path to c. It returns the keys that it set, and
// where. After a mistake that is not Unreadable the rest was applied all the same.
func readFile(path string, c *Config) (map[string]string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, unreadable{err}
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, unreadable{&Mistake{Where: path, Err: errors.New("not a regular file of at most 1 MiB")}}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadable{err}
	}
	if b, err = decode(path, b); err != nil {
		return nil, unreadable{err}
	}
	// The parser would tell of keys that are there twice, but without a file.
	f, err := parser.ParseBytes(b, 0, parser.AllowDuplicateMapKey())
	r := &reader{path: path, c: c, seen: map[string]string{}}
	c.origin("", path)
	if err != nil {
		return nil, unreadable{r.syntax(err)}
	}
	if len(f.Docs) > 1 {
		return nil, unreadable{&Mistake{Where: path, Err: errors.New("more than one YAML document: write one, without ---")}}
	}
	for _, d := range f.Docs {
		if d.Body != nil {
			r.section("", d.Body)
		}
	}
	return r.seen, r.joined()
}

type reader struct {
	path     string
	c        *Config
	seen     map[string]string // keys, and where they are
	mistakes []error
}

// joined returns the mistakes as one error, the first ones where there are many.
func (r *reader) joined() error {
	if more := len(r.mistakes) - maxMistakes; more > 0 {
		r.mistakes = append(r.mistakes[:maxMistakes:maxMistakes],
			&Mistake{Where: r.path, Err: fmt.Errorf("%d more things are wrong with it", more)})
	}
	return errors.Join(r.mistakes...)
}

// syntax tells of a file that is no YAML.
func (r *reader) syntax(err error) error {
	m := &Mistake{Where: r.path, Err: fmt.Errorf("not YAML: %w", err)}
	if e, ok := errors.AsType[yaml.Error](err); ok {
		m.Err = fmt.Errorf("not YAML: %s", e.GetMessage())
		if t := e.GetToken(); t != nil && t.Position != nil {
			m.Where = fmt.Sprintf("%s:%d:%d", r.path, t.Position.Line, t.Position.Column)
		}
	}
	return m
}

func (r *reader) at(n ast.Node) string {
	p := n.GetToken().Position
	return fmt.Sprintf("%s:%d:%d", r.path, p.Line, p.Column)
}

// fail notes a mistake; reading goes on, so that all are told at once.
func (r *reader) fail(n ast.Node, key, format string, args ...any) {
	r.mistakes = append(r.mistakes, &Mistake{Where: r.at(n), Key: key, Err: fmt.Errorf(format, args...)})
}

// section reads the mapping n whose keys all begin with prefix.
func (r *reader) section(prefix string, n ast.Node) {
	name := strings.TrimSuffix(prefix, ".")
	m, ok := n.(ast.MapNode)
	if !ok {
		switch {
		case n.Type() == ast.NullType:
		case name == "":
			r.fail(n, "", "the file is no list of keys: write lines such as name: n1")
		default:
			r.fail(n, name, "it has keys of its own: write %s: {KEY: VALUE}", name)
		}
		return
	}
	for it := m.MapRange(); it.Next(); {
		k := it.Key()
		key := prefix + k.String()
		if first, twice := r.seen[key]; twice {
			r.fail(k, "", "duplicate key %q: it is set at %s already; leave one of them out", key, first)
			continue
		}
		r.seen[key] = r.at(k)
		r.value(key, k, it.Value())
	}
}

func (r *reader) value(key string, k, v ast.Node) {
	if key == "exports" {
		r.exports(v)
		return
	}
	for _, s := range settings {
		if s.key == key {
			r.scalar(s, v)
			return
		}
		if strings.HasPrefix(s.key, key+".") {
			r.section(key+".", v)
			return
		}
	}
	hint := ""
	if n := nearest(key, keys()); n != "" {
		hint = fmt.Sprintf("; did you mean %s?", n)
	}
	r.fail(k, "", "unknown key %s%s", key, hint)
}

func (r *reader) scalar(s setting, v ast.Node) {
	values := []ast.Node{v}
	if seq, ok := v.(*ast.SequenceNode); ok {
		if !s.list {
			r.fail(v, s.key, "it takes one value, not a list: write %s: VALUE", s.key)
			return
		}
		values = seq.Values
	}
	for _, v := range values {
		sc, ok := v.(ast.ScalarNode)
		if !ok {
			r.fail(v, s.key, "it takes a plain value: write %s: VALUE", s.key)
			continue
		}
		str := ""
		if x := sc.GetValue(); x != nil {
			str = fmt.Sprint(x)
		}
		if err := r.c.apply(s, str, r.at(v)); err != nil {
			r.mistakes = append(r.mistakes, err)
		}
	}
}

// exports reads a list of {path, mode}, or of PATH:mode.
func (r *reader) exports(v ast.Node) {
	seq, ok := v.(*ast.SequenceNode)
	if !ok {
		r.fail(v, "exports", "it must be a list: write [{path: /data, mode: rw}]")
		return
	}
	r.c.origin("exports", r.at(v))
	for i, item := range seq.Values {
		key := element("exports", i)
		if sc, ok := item.(ast.ScalarNode); ok {
			if err := addExport(r.c, fmt.Sprint(sc.GetValue())); err != nil {
				r.fail(item, key, "%w", err)
				r.c.Exports = append(r.c.Exports, Export{}) // the others keep their places
				continue
			}
		} else {
			r.c.Exports = append(r.c.Exports, r.export(key, item))
		}
		r.c.origin(element("exports", len(r.c.Exports)-1), r.at(item))
	}
}

// export reads {path: P, mode: M}.
func (r *reader) export(key string, item ast.Node) (e Export) {
	m, ok := item.(ast.MapNode)
	if !ok {
		r.fail(item, key, "it is no export: write {path: /data, mode: rw}")
		return e
	}
	before := len(r.mistakes)
	seen := map[string]string{}
	for it := m.MapRange(); it.Next(); {
		k := it.Key().String()
		if first, twice := seen[k]; twice {
			r.fail(it.Key(), "", "duplicate key %q: it is set at %s already; leave one of them out", key+"."+k, first)
			continue
		}
		seen[k] = r.at(it.Key())
		sc, ok := it.Value().(ast.ScalarNode)
		if !ok {
			r.fail(it.Value(), key+"."+k, "it takes a plain value: write {path: /data, mode: rw}")
			continue
		}
		switch val := fmt.Sprint(sc.GetValue()); k {
		case "path":
			e.Path = val
		case "mode":
			e.Mode = val
		default:
			r.fail(it.Key(), "", "unknown key exports.%s; an export has path and mode", k)
		}
	}
	if err := e.check(); err != nil && len(r.mistakes) == before {
		r.fail(item, key, "%w", err)
	}
	return e
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
