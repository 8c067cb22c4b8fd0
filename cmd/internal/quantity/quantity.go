// Package quantity reads and writes sizes and rates as people type them: a
// number and a unit that is never left out (MB is 10^6, MiB is 2^20). It is for
// command lines and configuration files; the API speaks in plain bytes.
package quantity

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

var units = []struct {
	name  string
	bytes float64
}{
	{"B", 1},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"PB", 1e15},
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"PiB", 1 << 50},
	{"kbit", 1e3 / 8}, {"Mbit", 1e6 / 8}, {"Gbit", 1e9 / 8},
}

// ParseSize returns the bytes of "256MiB", "1.5GB" or "0B". A number without a
// unit is refused, since 10 could be meant as bytes or as megabytes.
func ParseSize(s string) (int64, error) {
	return parse(s, "a size such as 256MiB, 1.5GB or 0B")
}

// ParseRate returns the bytes per second of "500MB", "500MB/s" or "4Gbit".
func ParseRate(s string) (int64, error) {
	const want = "a rate such as 500MB, 1GiB/s or 4Gbit"
	return parse(strings.TrimSuffix(s, "/s"), want)
}

func parse(s, want string) (int64, error) {
	digits := strings.TrimLeft(s, "0123456789.")
	number, unit := s[:len(s)-len(digits)], strings.TrimSpace(digits)
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not %s", s, want)
	}
	if unit == "" {
		return 0, fmt.Errorf("%q has no unit: write %s", s, want)
	}
	for _, u := range units {
		if u.name == unit {
			if v*u.bytes > math.MaxInt64/2 {
				return 0, fmt.Errorf("%q is too large", s)
			}
			return int64(math.Round(v * u.bytes)), nil
		}
	}
	return 0, fmt.Errorf("%q has an unknown unit %q: write %s", s, unit, want)
}

// Size formats bytes in binary units, with at most three significant digits
// ("1.50GiB", "270MiB", "12B").
func Size(n int64) string {
	v, i := float64(n), 0
	names := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	for v >= 999.5 && i < len(names)-1 {
		v /= 1024
		i++
	}
	switch {
	case i == 0:
		return strconv.FormatInt(n, 10) + "B"
	case v < 9.995:
		return fmt.Sprintf("%.2f%s", v, names[i])
	case v < 99.95:
		return fmt.Sprintf("%.1f%s", v, names[i])
	}
	return fmt.Sprintf("%.0f%s", v, names[i])
}
