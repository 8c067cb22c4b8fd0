package place

import (
	"errors"
	"strings"
	"testing"
)

func here() (string, error) { return "/home/u", nil }

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in, node, path string
		slash          bool
	}{
		{"n1:/a/b", "n1", "/a/b", false},
		{"n1:/a/b/", "n1", "/a/b", true},
		{"n1:/a/b/.", "n1", "/a/b", true},
		{"n1:/a/b//", "n1", "/a/b", true},
		{"n1://a/./b", "n1", "/a/b", false},
		{"n1:/", "n1", "/", true},
		{"n1:/a:b", "n1", "/a:b", false},
		{"gpu-01.rack_2:/x", "gpu-01.rack_2", "/x", false},
		{"/a/b:c", "", "/a/b:c", false},
		{"/a:b/", "", "/a:b", true},
		{"./a:b", "", "/home/u/a:b", false},
		{"a/b:c", "", "/home/u/a/b:c", false},
		{"model", "", "/home/u/model", false},
		{"model/", "", "/home/u/model", true},
		{".", "", "/home/u", true},
		{"./", "", "/home/u", true},
		{"..", "", "/home", true},
		{"../x", "", "/home/x", false},
		{"..//x", "", "/home/x", false},
		{"../../../x", "", "/x", false},
		{"./../v/x", "", "/home/v/x", false},
		{"..x/y", "", "/home/u/..x/y", false},
		{"n1:/a/\xff\n", "n1", "/a/\xff\n", false},
		{"-x", "", "/home/u/-x", false},
	} {
		p, err := Parse(c.in, here)
		if err != nil || p != (Place{Node: c.node, Path: c.path, Slash: c.slash}) {
			t.Errorf("Parse(%q) = %+v, %v", c.in, p, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                 "empty",
		":/a":              "no node before",
		"n1:":              "no path",
		"n1:a/b":           "must be absolute",
		"a:b":              "write ./a:b",
		"n1:@weights":      "memory region",
		"[::1]:/a":         "not by an address",
		"root@n1:/a":       "without a user",
		"n 1:/a":           "not a node id",
		"n1:/a/../b":       `".."`,
		"/a/../b":          `".."`,
		"x/../y":           `".."`,
		"n1:/a/..":         `".."`,
		"n1:/a\x00b":       "NUL",
		"😀:/a":             "not a node id",
		"n[01-16]:/data":   "not a node id",
		"10.0.0.1:7440:/a": "must be absolute",
	} {
		if p, err := Parse(in, here); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %+v, %v; want an error with %q", in, p, err, want)
		}
	}
	broken := func() (string, error) { return "", errors.New("gone") }
	if _, err := Parse("x", broken); err == nil {
		t.Error("no error without a working directory")
	}
	if _, err := Parse("/x", broken); err != nil {
		t.Error("an absolute path needs no working directory:", err)
	}
}

func TestRelative(t *testing.T) {
	for in, want := range map[string]string{"a/b": "a/b", "/a//b/": "a/b", "./a": "a", ".": ".", "/": "."} {
		if got, err := Relative(in); err != nil || got != want {
			t.Errorf("Relative(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"../a", "a/../b", "a\x00"} {
		if got, err := Relative(in); err == nil {
			t.Errorf("Relative(%q) = %q", in, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"n1:/a/b", "./a:b", "[::1]:/x", "..", "n1:@r+1,2", "/", "n:/./", "a\x00", "\xff:/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s, here)
		if err != nil {
			return
		}
		if !strings.HasPrefix(p.Path, "/") || strings.Contains(p.Path, "//") || p.Path != "/" && strings.HasSuffix(p.Path, "/") {
			t.Fatalf("Parse(%q) is not clean: %+v", s, p)
		}
		for c := range strings.SplitSeq(p.Path, "/") {
			if c == "." || c == ".." || strings.Contains(c, "\x00") {
				t.Fatalf("Parse(%q) has a bad component: %+v", s, p)
			}
		}
		again, err := Parse(p.String(), here)
		if err != nil || again != p {
			t.Fatalf("Parse(%q) = %+v, and again %+v, %v", s, p, again, err)
		}
	})
}
