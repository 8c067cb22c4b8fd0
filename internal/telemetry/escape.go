package telemetry

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape returns s with every byte that could harm a terminal or a log written
// as \xNN: control characters, direction overrides, invisible characters and
// bytes that are not UTF-8. A backslash becomes two, so that no two strings look
// the same. A clean s is returned as it is, without allocation.
func Escape(s string) string { return escape(s, true) }

func escape(s string, backslash bool) string {
	at := firstUnsafe(s, backslash)
	if at == len(s) {
		return s
	}
	const hex = "0123456789abcdef"
	var b strings.Builder
	b.Grow(len(s) + 16)
	for {
		b.WriteString(s[:at])
		if s = s[at:]; s == "" {
			return b.String()
		}
		r, n := utf8.DecodeRuneInString(s)
		if r == '\\' {
			b.WriteString(`\\`)
		} else {
			for i := range n {
				b.WriteString(`\x`)
				b.WriteByte(hex[s[i]>>4])
				b.WriteByte(hex[s[i]&15])
			}
		}
		s = s[n:]
		at = firstUnsafe(s, backslash)
	}
}

// firstUnsafe returns the offset of the first character to escape, or len(s).
func firstUnsafe(s string, backslash bool) int {
	for i, r := range s {
		switch {
		case r == '\\':
			if backslash {
				return i
			}
		case r < 0x20 || r == 0x7f:
			return i
		case r < 0x7f:
		case r == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		case !unicode.IsPrint(r): // C1 controls, format characters, odd spaces
			return i
		}
	}
	return len(s)
}
