package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestFaultMatrix follows the tables of fault-matrix.md: every row is there once, has
// tests that exist, or says why it has none.
func TestFaultMatrix(t *testing.T) {
	const rows = 54
	text, err := os.ReadFile("fault-matrix.md")
	if err != nil {
		t.Fatal(err)
	}
	test := regexp.MustCompile("`([a-z0-9/]+): (Test\\w+)`")
	script := regexp.MustCompile(`\bscript: (\w+)`)
	without := regexp.MustCompile(`Not (here|yet): \w`)
	seen := map[int]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		row, err := strconv.Atoi(strings.TrimSpace(cells[1]))
		if err != nil {
			continue
		}
		if seen[row] || row < 1 || row > rows {
			t.Errorf("row %d is there twice, or none of the matrix", row)
		}
		seen[row] = true
		if len(cells) != 6 {
			t.Errorf("row %d has %d cells", row, len(cells)-2)
			continue
		}
		tests, scripts := test.FindAllStringSubmatch(cells[4], -1), script.FindAllStringSubmatch(cells[4], -1)
		if len(tests)+len(scripts) == 0 && !without.MatchString(cells[4]) {
			t.Errorf("row %d has no test, and no reason why not", row)
		}
		for _, m := range tests {
			if !testExists(t, m[1], m[2]) {
				t.Errorf("row %d: %s has no %s", row, m[1], m[2])
			}
		}
		for _, m := range scripts {
			if _, err := os.Stat(filepath.Join("../test/e2e/testdata/script", m[1]+".txtar")); err != nil {
				t.Errorf("row %d: %v", row, err)
			}
		}
		// What is written as a test and is none would be left out.
		if n := strings.Count(cells[4], "`Test") + strings.Count(cells[4], ": Test"); n != len(tests) {
			t.Errorf("row %d names %d tests, of which %d can be read", row, n, len(tests))
		}
	}
	for row := 1; row <= rows; row++ {
		if !seen[row] {
			t.Errorf("row %d is missing", row)
		}
	}
}
