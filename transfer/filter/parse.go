package filter

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/xferd/xferd/transfer"
)

// ParseFile reads rules, one a line, as [ParseRule] does. Empty lines and lines
// that start with "#" or ";" are comments. The error names the line.
func ParseFile(r io.Reader) ([]transfer.FilterRule, error) {
	var rules []transfer.FilterRule
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 2*MaxPattern)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		rule, err := ParseRule(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		rules = append(rules, rule)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading filter rules: %w", err)
	}
	return rules, nil
}
