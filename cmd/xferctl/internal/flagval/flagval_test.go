package flagval

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for in, want := range map[string]int64{"16MiB": 16 << 20, "1.5GB": 15e8, "0B": 0, "1kB": 1000, "64KiB": 65536, "4 MiB": 4 << 20} {
		var s Size
		if err := s.Set(in); err != nil || s.Bytes != want || s.String() != in {
			t.Errorf("%q: %d, %v", in, s.Bytes, err)
		}
	}
	for _, in := range []string{"", "10", "MiB", "-1MiB", "1mib", "1kb", "8Mbit", "1e9B", "1.2.3MB", "99999999PiB", "NaNB", "10 "} {
		var s Size
		if err := s.Set(in); err == nil {
			t.Errorf("%q: %d", in, s.Bytes)
		}
	}
}

func TestRate(t *testing.T) {
	for in, want := range map[string]int64{"500MB": 5e8, "500MB/s": 5e8, "500Mbit": 625e5, "4Gbit/s": 5e8, "1GiB/s": 1 << 30, "0B": 0} {
		var r Rate
		if err := r.Set(in); err != nil || r.BytesPerSecond != want {
			t.Errorf("%q: %d, %v", in, r.BytesPerSecond, err)
		}
	}
	for _, in := range []string{"", "500", "500M", "500/s", "-1MB", "0.1B", "1MB/m"} {
		var r Rate
		if err := r.Set(in); err == nil {
			t.Errorf("%q: %d", in, r.BytesPerSecond)
		}
	}
}

func TestDeadline(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"90m":                       now.Add(90 * time.Minute),
		"1h30m":                     now.Add(90 * time.Minute),
		"2026-03-01T18:00:00Z":      time.Date(2026, 3, 1, 18, 0, 0, 0, time.UTC),
		"2026-03-01T18:00:00+02:00": time.Date(2026, 3, 1, 16, 0, 0, 0, time.UTC),
		"1999-03-01T18:00:00Z":      time.Date(1999, 3, 1, 18, 0, 0, 0, time.UTC), // the server says that it passed
	} {
		var d Deadline
		if err := d.Set(in); err != nil || !d.Time(now).Equal(want) {
			t.Errorf("%q: %v, %v", in, d.Time(now), err)
		}
	}
	for _, in := range []string{"", "10", "-1s", "0s", "1e9h", "tomorrow", "2026-03-01", "2026-03-01T18:00:00", "0001-01-01T00:00:00Z"} {
		var d Deadline
		if err := d.Set(in); err == nil {
			t.Errorf("%q: %v", in, d.Time(now))
		}
	}
	if none := (&Deadline{}).Time(now); !none.IsZero() {
		t.Errorf("unset: %v", none)
	}
}

func TestChoiceAndLabels(t *testing.T) {
	c := NewChoice("auto", "auto", "rdma", "tcp")
	if c.Set("udp") == nil || c.Value != "auto" || c.Set("tcp") != nil || c.Value != "tcp" {
		t.Errorf("%+v", c)
	}
	var l Labels
	if l.Set("a=1") != nil || l.Set("b=x=y") != nil || l.Set("c=") != nil || l.String() != "a=1,b=x=y,c=" {
		t.Errorf("%v", l.String())
	}
	for _, in := range []string{"", "x", "=1", "a=2"} {
		if l.Set(in) == nil {
			t.Errorf("label %q was accepted", in)
		}
	}
}

func TestFiltersKeepTheirOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(file, []byte("# comment\n; comment\n\n*.o\n+ keep.o\n- *.a\n /x \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var f Filters
	inc, exc, from := f.Include(), f.Exclude(), f.ExcludeFrom()
	for _, step := range []struct {
		flag *FilterFlag
		text string
	}{{exc, "a"}, {inc, "b"}, {from, file}, {exc, "+ c"}, {inc, "- d"}, {from, "-"}, {exc, "z"}} {
		if err := step.flag.Set(step.text); err != nil {
			t.Fatal(err)
		}
	}
	got, err := f.Rules(strings.NewReader("in1\nin2"), false)
	want := []Rule{{false, "a"}, {true, "b"}, {false, "*.o"}, {true, "keep.o"}, {false, "*.a"}, {false, " /x "},
		{true, "c"}, {false, "d"}, {false, "in1"}, {false, "in2"}, {false, "z"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "+ "} {
		if exc.Set(bad) == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	_ = from.Set(filepath.Join(t.TempDir(), "missing"))
	if _, err := f.Rules(strings.NewReader(""), false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestFilesFromWithNULs(t *testing.T) {
	got, err := FilesFrom("-", strings.NewReader("a\nb\x00#c\x00\x00;d"), true)
	if err != nil || !slices.Equal(got, []string{"a\nb", "#c", ";d"}) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := FilesFrom("-", strings.NewReader(strings.Repeat("x", maxList+1)), true); err == nil {
		t.Error("a list that no transfer can carry was accepted")
	}
}

func TestPreserve(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "mode,times,links,hardlinks,sparse",
		"mode,times":           "mode,times",
		"no-times":             "mode,links,hardlinks,sparse",
		"no-times,no-sparse":   "mode,links,hardlinks",
		"+xattrs":              "mode,times,links,hardlinks,sparse,xattrs",
		"none":                 "none",
		"none,mode":            "mode",
		"all,no-devices":       "mode,times,links,hardlinks,sparse,owner,xattrs,acls,specials",
		"no-all,mode":          "none",
		"+specials,no-mode":    "times,links,hardlinks,sparse,specials",
		"owner acls|no-owner":  "acls",
		"no-times|+times,mode": "mode,times",
	} {
		var p Preserve
		for part := range strings.SplitSeq(strings.ReplaceAll(in, " ", "|"), "|") {
			if part == "" {
				continue
			}
			if err := p.Set(part); err != nil {
				t.Errorf("%q: %v", in, err)
			}
		}
		if got := p.Resolve(KeepDefault).String(); got != want {
			t.Errorf("%q keeps %s, want %s", in, got, want)
		}
	}
	for _, in := range []string{"xattr", "mode,", "no-none", "+none", "no-+mode", ","} {
		var p Preserve
		if err := p.Set(in); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

func TestChown(t *testing.T) {
	show := func(p *uint32) any {
		if p == nil {
			return nil
		}
		return *p
	}
	lookup := func(name string, group bool) (string, error) {
		switch {
		case name == "ann" && !group:
			return "1001", nil
		case name == "ml" && group:
			return "2002", nil
		}
		return "", errors.New("unknown")
	}
	for in, want := range map[string][2]any{
		"7:8": {uint32(7), uint32(8)}, "ann": {uint32(1001), nil}, "ann:": {uint32(1001), nil},
		":ml": {nil, uint32(2002)}, "ann:ml": {uint32(1001), uint32(2002)}, "0:0": {uint32(0), uint32(0)},
	} {
		c := Chown{lookup: lookup}
		if err := c.Set(in); err != nil || show(c.UID) != want[0] || show(c.GID) != want[1] {
			t.Errorf("%q: %v %v, %v", in, show(c.UID), show(c.GID), err)
		}
	}
	for _, in := range []string{"", ":", "bob", "ann:nobody", "-1", "4294967295", "4294967296", "1:2:3"} {
		c := Chown{lookup: lookup}
		if err := c.Set(in); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

func TestChmod(t *testing.T) {
	for _, in := range []string{"644", "D2775,F664", "u=rwx,go=", "Fu+x", "a-w", "+X", "ug=rwXst", "07777"} {
		var c Chmod
		if err := c.Set(in); err != nil || c.Text != in {
			t.Errorf("%q: %v", in, err)
		}
	}
	for _, in := range []string{"", ",", "888", "D", "DF644", "u", "u+", "u+q", "rwx", "u=rw+x", "10000", "u=rw,,g=r"} {
		var c Chmod
		if c.Set(in) == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"1MiB", "1.5GB", "8Mbit", "500MB/s", ".B", "9e99GB", "-0B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s Size
		if s.Set(text) == nil && s.Bytes < 0 {
			t.Fatalf("size %q is %d", text, s.Bytes)
		}
		var r Rate
		if r.Set(text) == nil && r.BytesPerSecond < 0 {
			t.Fatalf("rate %q is %d", text, r.BytesPerSecond)
		}
		if s.text != "" && strings.TrimLeft(s.text, "0123456789. ") == "" {
			t.Fatalf("size %q has no unit", text)
		}
	})
}
