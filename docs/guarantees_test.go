package docs

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestGuarantees follows the tables of guarantees.md: every promise has tests, and
// those exist.
func TestGuarantees(t *testing.T) {
	text, err := os.ReadFile("guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z0-9/]+): (Test\\w+)`")
	sections := strings.Split(string(text), "\n## ")
	promises := 0
	for _, s := range sections[1:] {
		title, _, _ := strings.Cut(s, "\n")
		tests := named.FindAllStringSubmatch(s, -1)
		if strings.HasPrefix(title, "P") {
			promises++
			if len(tests) == 0 {
				t.Errorf("%s: no test", title)
			}
		}
		for _, m := range tests {
			if !testExists(t, m[1], m[2]) {
				t.Errorf("%s: %s has no %s", title, m[1], m[2])
			}
		}
	}
	if promises < 7 {
		t.Errorf("only %d promises", promises)
	}
}
