// Package filter decides which names of a tree take part in a transfer, by an
// ordered list of include and exclude patterns in rsync's grammar: the first
// rule that matches a name decides, and a name that none matches is included.
//
// It is pure: it walks nothing and knows no file system. A walk that prunes
// excluded directories gets rsync's behaviour, in which nothing below an
// excluded directory is looked at.
//
// Where rsync silently lets a malformed pattern match nothing, New refuses it:
// an exclude that never matches would copy what it was meant to leave out.
package filter

import (
	"fmt"
	"strings"

	"github.com/xferd/xferd/transfer"
)

// MaxPattern is the longest pattern in bytes, as long as the longest path.
const MaxPattern = 4096

// Set is an ordered list of rules. It is immutable and safe for concurrent use.
type Set struct {
	rules []rule
}

type rule struct {
	include bool
	pattern pattern
}

// New compiles rules. The error names the rule that is not well-formed.
func New(rules []transfer.FilterRule) (*Set, error) {
	s := &Set{rules: make([]rule, 0, len(rules))}
	for i, r := range rules {
		p, err := compile(r.Pattern)
		if err != nil {
			return nil, fmt.Errorf("filter rule %d, %q: %w", i+1, r.Pattern, err)
		}
		s.rules = append(s.rules, rule{include: r.Include, pattern: p})
	}
	return s, nil
}

// Empty reports whether the set has no rules, so that nothing is excluded.
func (s *Set) Empty() bool { return s == nil || len(s.rules) == 0 }

// Excluded reports whether the first rule that matches relPath excludes it.
// relPath is relative to the root of the transfer, without a slash at either
// end; the root itself ("") is never excluded. Directories above relPath are
// not looked at: see [Set.ExcludedBelow]. The time is bounded by the product of
// the lengths of path and patterns.
func (s *Set) Excluded(relPath string, isDir bool) bool {
	if s == nil || relPath == "" {
		return false
	}
	for i := range s.rules {
		if s.rules[i].pattern.match(relPath, isDir) {
			return !s.rules[i].include
		}
	}
	return false
}

// ExcludedBelow reports whether relPath or a directory above it is excluded,
// for names that were not reached by a walk from the root.
func (s *Set) ExcludedBelow(relPath string, isDir bool) bool {
	if s.Empty() {
		return false
	}
	for i := 0; i < len(relPath); i++ {
		if relPath[i] == '/' && s.Excluded(relPath[:i], true) {
			return true
		}
	}
	return s.Excluded(relPath, isDir)
}

// unsupported are the rule types of rsync's filter language beyond include and
// exclude. As patterns they would quietly do something else.
var unsupported = []string{"merge", "dir-merge", "hide", "show", "protect", "risk", "clear"}

// ParseRule reads one rule: "+ PATTERN", "- PATTERN", "include PATTERN",
// "exclude PATTERN" or a bare PATTERN, which excludes. The pattern is checked.
func ParseRule(line string) (transfer.FilterRule, error) {
	var r transfer.FilterRule
	word, rest, spaced := strings.Cut(line, " ")
	switch {
	case line == "!":
		return r, fmt.Errorf("rule %q: clearing the list is not supported", line)
	case spaced && (word == "+" || word == "include"):
		r = transfer.FilterRule{Include: true, Pattern: rest}
	case spaced && (word == "-" || word == "exclude"):
		r = transfer.FilterRule{Pattern: rest}
	default:
		for _, u := range unsupported {
			if spaced && word == u {
				return r, fmt.Errorf("rule %q: %s rules are not supported; to exclude a name that starts so, write \"- %s\"", line, u, line)
			}
		}
		r = transfer.FilterRule{Pattern: line}
	}
	if _, err := compile(r.Pattern); err != nil {
		return transfer.FilterRule{}, fmt.Errorf("rule %q: %w", line, err)
	}
	return r, nil
}
