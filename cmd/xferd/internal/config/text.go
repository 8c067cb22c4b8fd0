package config

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxTold bounds one message, in bytes; values that it quotes may be long.
	maxTold = 1024
	// maxMistakes bounds how many are told of one file, which may be no
	// configuration at all.
	maxMistakes = 20
)

// errBinary is what is said of a file that is no text.
var errBinary = errors.New("the file is no text in UTF-8, so it is no configuration; is it another file?")

// decode returns the content of a file without a byte order mark, which some
// editors put in front. What is no text is a mistake: the parser would replace
// bytes that are not UTF-8, and so take other names than those written.
func decode(path string, b []byte) ([]byte, error) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	line, column := 1, 1
	for rest := b; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == 0 || r == utf8.RuneError && n == 1 {
			return nil, &Mistake{Where: fmt.Sprintf("%s:%d:%d", path, line, column), Err: errBinary}
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
		rest = rest[n:]
	}
	return b, nil
}

// told makes a message that quotes a file fit for a terminal and a log: what is
// not printable is escaped, and the middle of a long one is left out, since what
// to do about it stands at the end.
func told(s string) string {
	var b strings.Builder
	for i, r := range s {
		_, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	out := b.String()
	if len(out) <= maxTold {
		return out
	}
	head, tail := out[:maxTold/2], out[len(out)-maxTold/2:]
	return strings.ToValidUTF8(head, "") + " [...] " + strings.ToValidUTF8(tail, "")
}
