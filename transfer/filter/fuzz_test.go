package filter

import (
	"strings"
	"testing"
)

// FuzzMatch holds the parallel matcher against a plain recursive one.
func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{
		{"a*b", "axxb"}, {"**/a", "x/a"}, {"/d/***", "d"}, {"[a-c]?", "bz"}, {"a/**/b", "a/x/b"},
		{`\*x*`, "*xy"}, {"*a*b*c", "aabbcc"}, {"[[:alpha:]]*", "q1"}, {"x/", "x"}, {"**", "a/b"},
	} {
		f.Add(s[0], s[1], true)
		f.Add(s[0], s[1], false)
	}
	f.Fuzz(func(t *testing.T, text, name string, isDir bool) {
		p, err := compile(text)
		if err != nil {
			return
		}
		name = strings.Trim(name, "/")
		if name == "" || len(name) > 64 || len(text) > 24 {
			return
		}
		got := p.match(name, isDir)
		if want := slowMatch(&p, name, isDir); got != want {
			t.Errorf("pattern %q, name %q, dir %v: %v, the plain matcher says %v", text, name, isDir, got, want)
		}
	})
}

func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"+ a", "- b*", "include [x]", "exclude /y/", "!", "[", "merge x", "a\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := ParseRule(line)
		if err != nil {
			return
		}
		p, err := compile(r.Pattern)
		if err != nil {
			t.Fatalf("ParseRule took %q, compile does not: %v", line, err)
		}
		p.match("some/name", true)
	})
}

func slowMatch(p *pattern, name string, isDir bool) bool {
	if p.dirOnly && !isDir {
		return false
	}
	parts := strings.Split(name, "/")
	if p.baseOnly {
		name = parts[len(parts)-1]
	}
	if p.tail > 0 {
		if len(parts) < p.tail {
			return false
		}
		name = strings.Join(parts[len(parts)-p.tail:], "/")
	}
	if p.literal != "" {
		return name == p.literal
	}
	if p.rooted {
		name = "/" + name
	}
	if p.selfToo && isDir {
		name += "/"
	}
	memo := map[[2]int]bool{}
	if slowWild(p.wild, name, 0, 0, memo) {
		return true
	}
	for i := 0; p.anywhere && i+1 < len(name); i++ {
		if name[i] == '/' && slowWild(p.wild, name, 0, i+1, memo) {
			return true
		}
	}
	return false
}

func slowWild(p program, name string, i, j int, dead map[[2]int]bool) (ok bool) {
	key := [2]int{i, j}
	if dead[key] {
		return false
	}
	defer func() { dead[key] = !ok }()
	if i == len(p) {
		return j == len(name)
	}
	rest := j < len(name)
	switch t := p[i]; t.op {
	case opByte:
		return rest && name[j] == t.b && slowWild(p, name, i+1, j+1, dead)
	case opAny:
		return rest && name[j] != '/' && slowWild(p, name, i+1, j+1, dead)
	case opClass:
		return rest && name[j] != '/' && t.class.has(name[j]) && slowWild(p, name, i+1, j+1, dead)
	case opStar:
		return slowWild(p, name, i+1, j, dead) || rest && name[j] != '/' && slowWild(p, name, i, j+1, dead)
	default:
		return slowWild(p, name, i+1, j, dead) || rest && slowWild(p, name, i, j+1, dead)
	}
}
