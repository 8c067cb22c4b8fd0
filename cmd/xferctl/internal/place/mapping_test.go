package place

import (
	"slices"
	"strings"
	"testing"
)

func parseAll(t *testing.T, in []string) []Place {
	t.Helper()
	var out []Place
	for _, s := range in {
		p, err := Parse(s, here)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func TestCopy(t *testing.T) {
	for _, c := range []struct {
		args  string
		into  bool
		lines []string
	}{
		{"n1:/a/file n2:/b/file", false, []string{"n1:/a/file -> n2:/b/file"}},
		{"n1:/a/dir n2:/b/dir", false, []string{"n1:/a/dir -> n2:/b/dir"}},
		{"n1:/a/dir n2:/b/", true, []string{"n1:/a/dir -> n2:/b/dir"}},
		{"n1:/a/dir n2:/", true, []string{"n1:/a/dir -> n2:/dir"}},
		{"n1:/a/dir/ n2:/b", false, []string{"contents of n1:/a/dir -> contents of n2:/b"}},
		{"n1:/a/dir/ n2:/b/", false, []string{"contents of n1:/a/dir -> contents of n2:/b"}},
		{"n1:/a n1:/c/d n2:/b/", true, []string{"n1:/a -> n2:/b/a", "n1:/c/d -> n2:/b/d"}},
		{"n1:/a/ n1:/c n2:/b/", true, []string{"contents of n1:/a -> contents of n2:/b", "n1:/c -> n2:/b/c"}},
		{"/a n2:/b/", true, []string{"/a -> n2:/b/a"}},
		{"n1:/ n2:/b", false, []string{"contents of n1:/ -> contents of n2:/b"}},
	} {
		p := parseAll(t, strings.Fields(c.args))
		m, err := Copy(p[:len(p)-1], p[len(p)-1])
		if err != nil || m.Into != c.into || !slices.Equal(m.Lines(Place.String), c.lines) {
			t.Errorf("%s: into %v, %q, %v", c.args, m.Into, m.Lines(Place.String), err)
		}
	}
}

func TestCopyRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"n1:/a n1:/b n2:/c":      "ends in a slash: n2:/c/",
		"n1:/a n3:/b n2:/c/":     "must be on one node",
		"/a n3:/b n2:/c/":        "on this node and on n3",
		"n1:/a/x n1:/b/x n2:/c/": "would both become n2:/c/x",
		"n2:/c":                  "no source",
	} {
		p := parseAll(t, strings.Fields(args))
		if m, err := Copy(p[:len(p)-1], p[len(p)-1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", args, m, err)
		}
	}
}

func TestSyncNeedsBothSlashes(t *testing.T) {
	p := parseAll(t, []string{"n1:/a/", "n2:/b/", "n1:/a", "n2:/b"})
	m, err := Sync(p[0], p[1])
	if err != nil || m.Into || m.Lines(Place.String)[0] != "contents of n1:/a -> contents of n2:/b" {
		t.Fatalf("%+v, %v", m, err)
	}
	for _, pair := range [][2]Place{{p[0], p[3]}, {p[2], p[1]}, {p[2], p[3]}} {
		_, err := Sync(pair[0], pair[1])
		if err == nil {
			t.Fatalf("%v was accepted", pair)
		}
		for _, want := range []string{"xferctl sync n1:/a/ n2:/b/\n", "xferctl sync n1:/a/ n2:/b/a/\n"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v lacks %q", pair, err, want)
			}
		}
	}
}

func TestCopyOfRegions(t *testing.T) {
	read := func(t *testing.T, arg string) Place {
		t.Helper()
		p, err := ParseAny(arg, func() (string, error) { return "/", nil })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tt := range []struct{ args, want, err string }{
		{args: "n1:@a n2:@b", want: "n1:@a -> n2:@b"},
		{args: "n1:@a+4KiB,8 n2:@b+16", want: "n1:@a+4096,8 -> n2:@b+16"},
		{args: "n1:@a n2:@b+16,8", want: "n1:@a+0,8 -> n2:@b+16,8"},
		{args: "n1:@a+1,8 n2:@b+16,8", want: "n1:@a+1,8 -> n2:@b+16,8"},
		{args: "n1:@a+1,9 n2:@b+16,8", err: "has 9 bytes"},
		{args: "n1:/a n2:@b", want: "n1:/a -> n2:@b"},
		{args: "n1:/a n2:@b+0,9", err: "leave the length out"},
		{args: "n1:/a/ n2:@b", err: "a directory"},
		{args: "n1:@a n2:/b", want: "n1:@a -> n2:/b"},
		{args: "n1:@a n2:/b/", want: "n1:@a -> n2:/b/a"},
		{args: "n1:@a n1:@c n2:/b/", err: "as pieces"},
		{args: "n1:/a n1:/c n2:@b", err: "slash"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			words := strings.Fields(tt.args)
			var places []Place
			for _, w := range words {
				places = append(places, read(t, w))
			}
			m, err := Copy(places[:len(places)-1], places[len(places)-1])
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(m.Lines(Place.String), ";"); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}
