package filter

import (
	"strings"
	"testing"

	"github.com/xferd/xferd/transfer"
)

// The table follows the pattern rules of rsync's manual. A path with a trailing
// slash is a directory.
func TestPattern(t *testing.T) {
	tests := []struct {
		pattern string
		match   string // space-separated
		not     string
	}{
		// without a slash: the last component, at any depth
		{"foo", "foo a/foo a/b/foo foo/", "foobar afoo foo/bar a/foo/b"},
		{"*.o", "x.o a/x.o .o a/b/.o x.o/", "x.oo x.o/y xo"},
		{"f?o", "foo a/fxo", "fo f/o fooo"},
		{"[a-c]x", "ax a/bx cx", "dx x abx"},
		{"[!a-c]x", "dx Zx", "ax bx /x"},
		{"[^a]x", "bx", "ax"},
		{"[]x]y", "]y xy", "y ay"},
		{"[a\\]]y", "ay ]y", "by"},
		{"[[:digit:]_]z", "1z _z", "az"},
		{"[a-]z", "az -z", "bz"},
		// a trailing slash: directories only
		{"foo/", "foo/ a/foo/", "foo a/foo foo/bar"},
		{"*/", "a/ a/b/", "a a/b"},
		// a leading slash: anchored
		{"/foo", "foo foo/", "a/foo foo/foo"},
		{"/foo/", "foo/", "foo a/foo/"},
		{"/*.c", "x.c", "a/x.c"},
		{"/foo/bar", "foo/bar", "a/foo/bar bar foo/bar/baz"},
		{"/foo/*/baz", "foo/x/baz", "foo/baz foo/x/y/baz a/foo/x/baz"},
		// a slash inside: the end of the path
		{"foo/bar", "foo/bar a/foo/bar", "bar foo/x/bar afoo/bar foo/bar/x"},
		{"foo/*.c", "foo/x.c a/foo/x.c", "foo/b/x.c x.c"},
		{"*/bar", "a/bar x/a/bar", "bar"},
		{"a/b/c", "a/b/c x/a/b/c", "b/c c"},
		// "**" crosses slashes
		{"foo/**/bar", "foo/x/bar foo/x/y/bar z/foo/x/bar", "foo/bar"},
		{"/foo/**/bar", "foo/x/bar foo/x/y/bar", "foo/bar z/foo/x/bar"},
		{"foo/**", "foo/a foo/a/b x/foo/a foo/a/", "foo foo/ xfoo/a"},
		{"/foo/**", "foo/a foo/a/b", "foo/ x/foo/a"},
		{"**/foo", "foo a/foo a/b/foo", "afoo foo/a"},
		{"**foo", "foo a/foo afoo a/b/xfoo", "foo/a"},
		{"**/foo/*", "foo/x a/foo/x", "foo foo/x/y"},
		{"a**z", "az a/z a/b/c/z x/a/z abcz", "az/b bz"},
		{"**", "a a/b a/b/c/", ""},
		{"/**", "a a/b", ""},
		{"a/**/", "a/b/ a/b/c/ x/a/b/", "a/ a/b"},
		// "/***" is the directory and all below it
		{"/dir/***", "dir/ dir/a dir/a/b dir/a/", "dir x/dir/ x/dir/a dirx"},
		{"dir/***", "dir/ dir/a x/dir/ x/dir/a", "dir x/dir xdir/a"},
		// a backslash quotes when there is a wildcard, else it is itself
		{`a\*b*`, "a*b a*bc", "axb aXb*"},
		{`a\b`, `a\b x/a\b`, "ab"},
		{`\[x*`, "[x [xy", "x"},
		// bytes, not characters
		{"\xff*", "\xff \xffa", "a"},
		{"?", "a \xff", "é"},
		// a class and "?" and "*" never take a slash
		{"a[^x]b", "ayb", "a/b"},
		{"/a*b", "ab axb", "a/b axx/b"},
	}
	for _, tt := range tests {
		p, err := compile(tt.pattern)
		if err != nil {
			t.Errorf("compile(%q): %v", tt.pattern, err)
			continue
		}
		check := func(paths string, want bool) {
			for path := range strings.FieldsSeq(paths) {
				name, isDir := strings.CutSuffix(path, "/")
				if name == "" {
					continue
				}
				if got := p.match(strings.TrimPrefix(name, "/"), isDir); got != want {
					t.Errorf("pattern %q, path %q: match = %v, want %v", tt.pattern, path, got, want)
				}
			}
		}
		check(tt.match, true)
		check(tt.not, false)
	}
}

func TestFirstMatchWins(t *testing.T) {
	tests := []struct {
		name     string
		rules    string // one a line
		excluded string
		included string
	}{
		{"default is include", "- x", "x a/x", "y a/y"},
		{"no rules", "", "", "x a/"},
		{"include shields", "+ keep.o\n- *.o", "a.o d/b.o", "keep.o d/keep.o a.c"},
		{"order counts", "- *.o\n+ keep.o", "keep.o", "a.c"},
		{"only c sources", "+ */\n+ *.c\n- *", "a.h d/x", "a.c d/ d/e/ d/x.c"},
		{"one subtree", "+ /some/\n+ /some/path/***\n- *", "x some/y other/ some/path", "some/ some/path/ some/path/a some/path/a/b"},
		{"include and exclude words", "include a\nexclude *", "b", "a"},
		{"bare pattern excludes", "*.tmp", "x.tmp d/y.tmp", "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules, err := ParseFile(strings.NewReader(tt.rules))
			if err != nil {
				t.Fatal(err)
			}
			s, err := New(rules)
			if err != nil {
				t.Fatal(err)
			}
			for list, want := range map[string]bool{tt.excluded: true, tt.included: false} {
				for path := range strings.FieldsSeq(list) {
					name, isDir := strings.CutSuffix(path, "/")
					if got := s.Excluded(name, isDir); got != want {
						t.Errorf("Excluded(%q) = %v, want %v", path, got, want)
					}
				}
			}
		})
	}
}

func TestRootIsNeverExcluded(t *testing.T) {
	s, err := New([]transfer.FilterRule{{Pattern: "**"}, {Pattern: "*"}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Excluded("", true) {
		t.Error("the root is excluded")
	}
	var none *Set
	if none.Excluded("a", false) || none.ExcludedBelow("a/b", false) || !none.Empty() {
		t.Error("a nil set excludes something")
	}
}

func TestExcludedBelow(t *testing.T) {
	s, err := New([]transfer.FilterRule{{Pattern: "/skip/"}, {Pattern: "*.o"}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"skip/a": true, "skip/a/b": true, "a/skip/b": false, "a/b.o": true, "a": false, "a.o/b": true,
	} {
		if got := s.ExcludedBelow(path, false); got != want {
			t.Errorf("ExcludedBelow(%q) = %v, want %v", path, got, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, line := range []string{
		"+ ", "- ", "/", "//", "[", "a[b", "[[:nope:]]", "[[:alpha:", `a*\`, "a\x00b", "!",
		"merge file", "dir-merge x", "hide y", strings.Repeat("a", MaxPattern+1),
	} {
		if r, err := ParseRule(line); err == nil {
			t.Errorf("ParseRule(%.20q) = %+v, want an error", line, r)
		}
		if _, err := ParseFile(strings.NewReader("a\n# c\n" + line + "\n")); err == nil {
			t.Errorf("ParseFile with line %.20q: want an error", line)
		} else if !strings.Contains(err.Error(), "line 3") {
			t.Errorf("error %q does not name line 3", err)
		}
	}
	_, err := New([]transfer.FilterRule{{Pattern: "a"}, {Pattern: "[x"}})
	if err == nil || !strings.Contains(err.Error(), "rule 2") {
		t.Errorf("New: error %v does not name rule 2", err)
	}
}

func TestParseFile(t *testing.T) {
	rules, err := ParseFile(strings.NewReader("# comment\n; another\n\n+ /a b\n- *.o\r\nplain\n#x\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []transfer.FilterRule{{Include: true, Pattern: "/a b"}, {Pattern: "*.o"}, {Pattern: "plain"}}
	if len(rules) != len(want) {
		t.Fatalf("got %v, want %v", rules, want)
	}
	for i := range want {
		if rules[i] != want[i] {
			t.Errorf("rule %d = %v, want %v", i, rules[i], want[i])
		}
	}
}

// A pattern that takes a backtracking matcher ages must not take more than
// pattern times name; the test would not end otherwise.
func TestBoundedTime(t *testing.T) {
	p, err := compile("/" + strings.Repeat("a*", 500) + strings.Repeat("**a", 300) + "b")
	if err != nil {
		t.Fatal(err)
	}
	if p.match(strings.Repeat("a", 3000), false) {
		t.Error("matched")
	}
	if !p.match(strings.Repeat("a", 3000)+"b", false) {
		t.Error("not matched")
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	s, err := New([]transfer.FilterRule{{Pattern: "*.o"}, {Pattern: "a/**/b"}, {Pattern: "/x/***"}})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { s.Excluded("some/path/of/usual/length.c", false) }); n != 0 {
		t.Errorf("%v allocations per match", n)
	}
}
