// Package show makes text for people: names that are safe on a terminal,
// amounts, tables and the itemized form of a change. It writes to what it is
// given and knows no server.
package show

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/xferd/xferd/cmd/internal/quantity"
)

// Name returns s as it may be shown on a terminal. Names are bytes: those that
// are not printable UTF-8 are escaped as in a Go string, and so is a backslash,
// so that what is shown stands for one name only.
func Name(s string) string {
	if plain(s) {
		return s
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

func plain(s string) bool {
	for i, r := range s {
		if r == '\\' || !strconv.IsPrint(r) {
			return false
		}
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return false
			}
		}
	}
	return true
}

// Text makes a message that may have come from elsewhere fit for a terminal:
// as Name, but line ends, tabs and backslashes stay.
func Text(s string) string {
	var b strings.Builder
	for i, r := range s {
		_, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' || r == '\t' || strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// Size returns an amount of bytes in binary units.
func Size(n int64) string { return quantity.Size(n) }

// Rate returns an amount per time; "-" where no time passed.
func Rate(bytes int64, d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	return quantity.Size(int64(float64(bytes)/d.Seconds())) + "/s"
}

// Count returns n with a comma between thousands.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Plural returns "1 file", "2 files", "1,000 files".
func Plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Elapsed returns a duration as "0.42s", "12.3s", "3m05s", "2h03m" or "4d02h".
func Elapsed(d time.Duration) string {
	switch {
	case d < 0:
		return "-"
	case d < 10*time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < time.Minute-50*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
}

// When returns a point in time in the local zone, "-" for none.
func When(t time.Time) string {
	if t.IsZero() || t.UnixNano() == 0 { // an absent time of the API is 1970
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
