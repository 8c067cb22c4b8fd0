package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRDMACases follows the table of rdma-tests.md: every case has a row, and
// every test that a row names exists.
func TestRDMACases(t *testing.T) {
	text, err := os.ReadFile("rdma-tests.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"A": 7, "B": 12, "C": 8, "D": 5, "E": 4, "F": 3}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		c := strings.TrimSpace(cells[1])
		if c == "" || want[c[:1]] == 0 {
			continue
		}
		rows++
		tests := strings.Fields(cells[4])
		if len(tests) == 0 {
			t.Errorf("case %s has no test", c)
		}
		for _, name := range tests {
			dir, test, ok := strings.Cut(name, ":")
			if !ok {
				dir, test = "transport/verbs", name
			}
			if !testExists(t, dir, test) {
				t.Errorf("case %s names %s of %s, which does not exist", c, test, dir)
			}
		}
	}
	all := 0
	for _, n := range want {
		all += n
	}
	if rows != all {
		t.Errorf("%d cases, want %d", rows, all)
	}
}

func testExists(t *testing.T, dir, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(test) + `\(t `)
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if declared.Match(src) {
			return true
		}
	}
	return false
}
