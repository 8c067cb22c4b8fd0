package filter

import (
	"errors"
	"strings"
)

var (
	errEmpty     = errors.New("the pattern is empty")
	errNUL       = errors.New("the pattern has a NUL byte")
	errTooLong   = errors.New("the pattern is longer than 4096 bytes")
	errBackslash = errors.New("the pattern ends with a lone backslash")
	errBracket   = errors.New("the pattern has a [ without its ]")
	errClass     = errors.New("the pattern has an unknown character class")
)

// pattern is one compiled pattern. What of a path it is held against follows
// from its form, as rsync's manual says:
//   - a leading slash anchors it to the root of the transfer;
//   - with a slash inside (a trailing one does not count) or with "**" it is
//     held against the path, otherwise against the last component alone;
//   - not anchored, it has to match the end of the path from the start of a
//     component on.
type pattern struct {
	dirOnly  bool // the pattern had a trailing slash
	anchored bool
	baseOnly bool // held against the last component
	// tail is the number of components at the end of the path that the pattern
	// is held against; 0 is all of them.
	tail int
	// anywhere: the match may start at every component.
	anywhere bool
	// rooted: the path is read with a slash before it, so that a leading "**/"
	// can match nothing.
	rooted bool
	// selfToo: the pattern ends in "/***", so that a directory is read with a
	// slash after it and matches with nothing below it.
	selfToo bool
	literal string // when there are no wildcards
	wild    program
}

func compile(text string) (pattern, error) {
	var p pattern
	switch {
	case text == "":
		return p, errEmpty
	case len(text) > MaxPattern:
		return p, errTooLong
	case strings.IndexByte(text, 0) >= 0:
		return p, errNUL
	}
	if len(text) > 1 && strings.HasSuffix(text, "/") {
		p.dirOnly = true
		text = strings.TrimRight(text, "/")
		if text == "" {
			return p, errEmpty
		}
	}
	slashes := strings.Count(text, "/")
	double := strings.Contains(text, "**")
	doubleFirst := strings.HasPrefix(text, "**")
	p.selfToo = strings.HasSuffix(text, "***")
	p.baseOnly = slashes == 0 && !double
	p.rooted = !p.baseOnly && doubleFirst
	if text[0] == '/' {
		p.anchored = true
		text = text[1:]
		if text == "" {
			return p, errEmpty
		}
	}
	if !p.anchored {
		switch {
		case double && !doubleFirst:
			p.anywhere = true
		case slashes > 0 && !double:
			p.tail = slashes + 1
		}
	}
	if !strings.ContainsAny(text, "*?[") {
		p.literal = text // a backslash is itself when there is no wildcard
		return p, nil
	}
	var err error
	p.wild, err = compileWild(text)
	return p, err
}

func (p *pattern) match(path string, isDir bool) bool {
	if p.dirOnly && !isDir {
		return false
	}
	switch {
	case p.baseOnly:
		path = path[strings.LastIndexByte(path, '/')+1:]
	case p.tail > 0:
		start := len(path)
		for n := p.tail; n > 0; n-- {
			if start < 0 {
				return false // fewer components than the pattern has
			}
			start = strings.LastIndexByte(path[:start], '/')
		}
		path = path[start+1:]
	}
	if p.literal != "" {
		return path == p.literal
	}
	return p.wild.match(path, matchOptions{
		slashBefore: p.rooted,
		slashAfter:  p.selfToo && isDir,
		anywhere:    p.anywhere,
	})
}
