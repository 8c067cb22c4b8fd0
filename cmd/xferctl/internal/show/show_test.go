package show

import (
	"strings"
	"testing"
	"time"
)

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"plain name": "plain name", "grüße": "grüße", "a\nb": `a\nb`, "\x1b[31mred": `\x1b[31mred`, "\xff": `\xff`,
		"a\\b": `a\\b`, "say \"hi\"": `say "hi"`, "say \"hi\"\t": `say "hi"\t`, "\u202egpj": `\u202egpj`, "\ufffd": "\ufffd", "a\x00": `a\x00`, "": "",
		"\u009b31m": `\u009b31m`,
	} {
		if got := Name(in); got != want {
			t.Errorf("Name(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestText(t *testing.T) {
	if got := Text("a\\x\n\tb\x1b[0m\xfe\r'\""); got != "a\\x\n\tb\\x1b[0m\\xfe\\r'\"" {
		t.Errorf("%q", got)
	}
}

func TestAmounts(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %s", n, got)
		}
	}
	if Plural(1, "file", "files") != "1 file" || Plural(0, "file", "files") != "0 files" {
		t.Error("plural")
	}
	for d, want := range map[time.Duration]string{
		420 * time.Millisecond: "0.42s", 12300 * time.Millisecond: "12.3s", 59990 * time.Millisecond: "1m00s", 185 * time.Second: "3m05s",
		2*time.Hour + 3*time.Minute: "2h03m", 98 * time.Hour: "4d02h", -1: "-",
	} {
		if got := Elapsed(d); got != want {
			t.Errorf("Elapsed(%v) = %s, want %s", d, got, want)
		}
	}
	if Rate(1<<30, 2*time.Second) != "512MiB/s" || Rate(1, 0) != "-" {
		t.Error(Rate(1<<30, 2*time.Second))
	}
}

func TestItemize(t *testing.T) {
	for _, c := range []struct {
		it   Item
		want string
	}{
		{Item{Kind: 'f', Path: "a", New: true}, ">f+++++++++ a"},
		{Item{Kind: 'f', Path: "a", Size: true, Time: true}, ">f.st...... a"},
		{Item{Kind: 'f', Path: "a", Content: true}, ">fc........ a"},
		{Item{Kind: 'f', Path: "a", Time: true, Moved: true}, ">f..t...... a"},
		{Item{Kind: 'f', Path: "a", Time: true, Perm: true}, ".f..tp..... a"},
		{Item{Kind: 'f', Path: "a", Owner: true, Group: true, ACL: true, Xattr: true}, ".f....og.ax a"},
		{Item{Kind: 'd', Path: "d", New: true}, "cd+++++++++ d/"},
		{Item{Kind: 'd', Path: "d", Time: true}, ".d..t...... d/"},
		{Item{Kind: 'L', Path: "l", New: true, Link: "to\n"}, `cL+++++++++ l -> to\n`},
		{Item{Kind: 'L', Path: "l", Content: true, Link: "x"}, "cLc........ l -> x"},
		{Item{Kind: 'f', Hardlink: true, Path: "h", New: true, Link: "a"}, "hf+++++++++ h => a"},
		{Item{Kind: 'S', Path: "fifo", New: true}, "cS+++++++++ fifo"},
		{Item{Kind: 'f', Path: "old\x1b", Deleted: true}, `*deleting   old\x1b`},
		{Item{Kind: 'd', Path: "old", Deleted: true}, "*deleting   old/"},
	} {
		if got := c.it.String(); got != c.want || !c.it.Changed() {
			t.Errorf("%+v is %q, want %q", c.it, got, c.want)
		}
	}
	if (Item{Kind: 'f', Path: "a"}).Changed() {
		t.Error("no change is one")
	}
}

func TestTable(t *testing.T) {
	tab := Table{Header: []string{"NAME", "SIZE", "STATE"}, Rows: [][]Cell{
		{T("ü"), N("1"), {Text: "UP", Color: Green}},
		{T("longer"), N("12345"), {Text: "DOWN", Color: Red}},
	}}
	var b strings.Builder
	_ = tab.Write(&b, false)
	want := "NAME     SIZE  STATE\nü           1  UP\nlonger  12345  DOWN\n"
	if b.String() != want {
		t.Errorf("%q\n%q", b.String(), want)
	}
	b.Reset()
	_ = tab.Write(&b, true)
	if !strings.Contains(b.String(), "\x1b[32mUP\x1b[0m\n") {
		t.Errorf("%q", b.String())
	}
	b.Reset()
	_ = Pairs(&b, [][2]string{{"a", "1"}, {"empty", ""}, {"long", "2"}})
	if b.String() != "a:     1\nlong:  2\n" {
		t.Errorf("%q", b.String())
	}
}
