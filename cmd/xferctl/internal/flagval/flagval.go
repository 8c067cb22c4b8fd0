// Package flagval has the values that flags of xferctl take: sizes, rates,
// deadlines, ordered filter rules, sets of what to keep. A value says what is
// wrong with it in a way that shows what is accepted. Nothing here talks to a
// server.
package flagval

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/xferd/xferd/cmd/internal/quantity"
)

// Size is a number of bytes with a unit.
type Size struct {
	Bytes int64
	text  string
}

func (s *Size) String() string { return s.text }

// Type is what help shows for the value.
func (s *Size) Type() string { return "size" }

// Set parses "16MiB", "1.5GB" or "0B".
func (s *Size) Set(text string) error {
	if strings.HasSuffix(text, "bit") {
		return fmt.Errorf("%q is in bits: write a size in bytes such as 16MiB or 1.5GB", text)
	}
	n, err := quantity.ParseSize(text)
	if err != nil {
		return err
	}
	s.Bytes, s.text = n, text
	return nil
}

// Rate is a number of bytes per second.
type Rate struct {
	BytesPerSecond int64
	text           string
}

func (r *Rate) String() string { return r.text }

// Type is what help shows for the value.
func (r *Rate) Type() string { return "rate" }

// Set parses "500MB", "1GiB/s" or "4Gbit".
func (r *Rate) Set(text string) error {
	n, err := quantity.ParseRate(text)
	if err != nil {
		return err
	}
	if n == 0 && strings.Trim(strings.TrimRight(text, "/sBbitkKMGTP"), "0.") != "" {
		return fmt.Errorf("%q is less than one byte per second", text)
	}
	r.BytesPerSecond, r.text = n, text
	return nil
}

// Deadline is a point in time, typed as a duration from now or in RFC 3339.
type Deadline struct {
	after time.Duration
	at    time.Time
	text  string
}

func (d *Deadline) String() string { return d.text }

// Type is what help shows for the value.
func (d *Deadline) Type() string { return "duration|time" }

// Set parses "90m", "2h30m" or "2026-03-01T18:00:00Z".
func (d *Deadline) Set(text string) error {
	const want = "a duration such as 90m or 2h30m, or a time such as 2026-03-01T18:00:00Z"
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		if y := t.UTC().Year(); y < 1970 || y > 9999 {
			return fmt.Errorf("%q is out of range: write %s", text, want)
		}
		*d = Deadline{at: t, text: text}
		return nil
	}
	after, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not %s", text, want)
	}
	if after <= 0 {
		return fmt.Errorf("%q is not in the future: write %s", text, want)
	}
	*d = Deadline{after: after, text: text}
	return nil
}

// Time returns the deadline for a command that started at now; zero is none.
func (d *Deadline) Time(now time.Time) time.Time {
	if d.after > 0 {
		return now.Add(d.after)
	}
	return d.at
}

// Choice is one word out of a few.
type Choice struct {
	Value   string
	choices []string
}

// NewChoice returns a choice that is value until it is set.
func NewChoice(value string, choices ...string) *Choice {
	return &Choice{Value: value, choices: choices}
}

func (c *Choice) String() string { return c.Value }

// Type is what help shows for the value.
func (c *Choice) Type() string { return strings.Join(c.choices, "|") }

// Choices returns the words, for completion.
func (c *Choice) Choices() []string { return c.choices }

// Set takes one of the words.
func (c *Choice) Set(text string) error {
	if !slices.Contains(c.choices, text) {
		return fmt.Errorf("%q is not one of %s", text, strings.Join(c.choices, ", "))
	}
	c.Value = text
	return nil
}

// Labels is a repeatable key=value.
type Labels struct{ Map map[string]string }

func (l *Labels) String() string {
	var out []string
	for k, v := range l.Map {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// Type is what help shows for the value.
func (l *Labels) Type() string { return "key=value" }

// Set adds one label. The same key twice is an error.
func (l *Labels) Set(text string) error {
	k, v, ok := strings.Cut(text, "=")
	if !ok || k == "" {
		return fmt.Errorf("%q is not key=value", text)
	}
	if _, dup := l.Map[k]; dup {
		return fmt.Errorf("label %q is given twice", k)
	}
	if l.Map == nil {
		l.Map = map[string]string{}
	}
	l.Map[k] = v
	return nil
}
