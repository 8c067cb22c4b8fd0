package config

import (
	"strings"
	"testing"
	"unicode"
)

// What a file has in it must not reach the terminal as it stands.
func TestMistakesAreFitForATerminal(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"escape in a key", "name: n1\n\x1b[31mevil\x1b[0m: x\n", `2:1: unknown key \x1b[31mevil\x1b[0m`},
		{"escape in a value", `exports: ["/\e[32m:rx"]`, `/\x1b[32m has the mode "rx"`},
		{"line end in a value", `exports: ["/a\nb:rx"]`, `/a\nb has the mode`},
		{"control byte of Latin-1", "\u009b31m: x\n", `unknown key \u009b31m`},
		{"no UTF-8", "name: n1\nlabels: {zone: \xff}\n", "2:16: the file is no text in UTF-8"},
		{"a program", "\x7fELF\x02\x01\x01\x00\x00", "1:8: the file is no text in UTF-8"},
		{"a long value", "buffer_memory: " + strings.Repeat("lots", 10_000), "is not a size such as"},
		{"many keys", "exports: [/d:rw]\n" + strings.Repeat("x: 1\n", 3) + manyKeys(500), "more things are wrong with it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := Load(write(t, c.text), Flags{}, nil, "/")
			if err == nil {
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q\nwant %q in it", err, c.want)
			}
			all := Each(err)
			if len(all) > maxMistakes+1 {
				t.Errorf("%d mistakes are told", len(all))
			}
			for _, e := range all {
				if len(e.Error()) > maxTold+len(" [...] ") {
					t.Errorf("a message of %d bytes", len(e.Error()))
				}
				if i := strings.IndexFunc(e.Error(), func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }); i >= 0 {
					t.Errorf("%q is not printable at %d", e, i)
				}
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("k" + strings.Repeat("x", i) + ": 1\n")
	}
	return b.String()
}

func TestByteOrderMarkIsSkipped(t *testing.T) {
	c, _, err := Load(write(t, "\xef\xbb\xbf"+strings.TrimSpace(good)), Flags{}, nil, "/")
	if err != nil || c.Name != "n1" {
		t.Errorf("name %q, error %v", c.Name, err)
	}
}
