package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

func parseDuration(v string) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a duration: write a number with its unit, such as 90s, 10m or 168h", v)
	case d <= 0:
		return 0, fmt.Errorf("%q must be more than zero: write a duration such as 90s, 10m or 168h", v)
	}
	return d, nil
}

func parseBool(v string, into *bool) error {
	switch v {
	case "true":
		*into = true
	case "false":
		*into = false
	default:
		return fmt.Errorf("%q is neither true nor false: write one of them", v)
	}
	return nil
}

func count(get func(*Config) *int) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 1_000_000 {
			return fmt.Errorf("%q is not a number from 1 to 1000000: write one", v)
		}
		*get(c) = n
		return nil
	}
}

// addExport takes PATH:ro or PATH:rw. The mode is never left out: whether a
// tree may be written is for the operator to say.
func addExport(c *Config, v string) error {
	i := strings.LastIndexByte(v, ':')
	if i < 0 {
		return fmt.Errorf("%q has no mode: write %s:ro or %s:rw", v, v, v)
	}
	e := Export{Path: v[:i], Mode: v[i+1:]}
	if err := e.check(); err != nil {
		return err
	}
	c.Exports = append(c.Exports, e)
	return nil
}

func (e Export) check() error {
	if e.Path == "" {
		return errors.New("it has no path: write {path: /data, mode: rw}")
	}
	if e.Mode != "ro" && e.Mode != "rw" {
		return fmt.Errorf("%s has the mode %q, which is neither ro nor rw: write {path: %s, mode: ro} or {path: %[1]s, mode: rw}", e.Path, e.Mode, e.Path)
	}
	return nil
}

// nearest returns the candidate that v was probably meant to be, or "".
func nearest(v string, candidates []string) string {
	best, bestDistance := "", len(v)/2+1
	for _, c := range candidates {
		if d := distance(v, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
