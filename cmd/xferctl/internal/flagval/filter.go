package flagval

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
)

// Rule is one line of the ordered include and exclude list.
type Rule struct {
	Include bool
	Pattern string
}

// Filters collects --include, --exclude and --exclude-from in the order in
// which they were typed: the first rule that matches a name decides.
type Filters struct{ parts []filterPart }

type filterPart struct {
	rule Rule
	file string // set for --exclude-from
}

// Include, Exclude and ExcludeFrom return the values of the three flags.
func (f *Filters) Include() *FilterFlag { return &FilterFlag{f, 'i'} }

// Exclude returns the value of --exclude.
func (f *Filters) Exclude() *FilterFlag { return &FilterFlag{f, 'e'} }

// ExcludeFrom returns the value of --exclude-from.
func (f *Filters) ExcludeFrom() *FilterFlag { return &FilterFlag{f, 'f'} }

// FilterFlag is one flag's way into the common list.
type FilterFlag struct {
	list *Filters
	what byte
}

// String is empty: a repeated flag has no one value.
func (f *FilterFlag) String() string { return "" }

// Type is what help shows for the value.
func (f *FilterFlag) Type() string {
	if f.what == 'f' {
		return "file"
	}
	return "pattern"
}

// Set appends one rule. A pattern may carry rsync's prefix "+ " or "- ", which
// then decides instead of the flag.
func (f *FilterFlag) Set(text string) error {
	if text == "" {
		return fmt.Errorf("empty %s", f.Type())
	}
	if f.what == 'f' {
		f.list.parts = append(f.list.parts, filterPart{file: text})
		return nil
	}
	r, err := parseRule(text, f.what == 'i')
	if err != nil {
		return err
	}
	f.list.parts = append(f.list.parts, filterPart{rule: r})
	return nil
}

func parseRule(text string, include bool) (Rule, error) {
	r := Rule{Include: include, Pattern: text}
	for prefix, inc := range map[string]bool{"+ ": true, "- ": false} {
		if p, ok := strings.CutPrefix(text, prefix); ok {
			r = Rule{Include: inc, Pattern: p}
		}
	}
	if r.Pattern == "" {
		return r, fmt.Errorf("%q has no pattern", text)
	}
	return r, nil
}

// Rules returns the whole list and reads the files named, "-" from stdin. Lines
// of a file end with NUL when zero is set; otherwise with LF, and lines that
// start with '#' or ';' are comments.
func (f *Filters) Rules(stdin io.Reader, zero bool) ([]Rule, error) {
	var out []Rule
	for _, p := range f.parts {
		if p.file == "" {
			out = append(out, p.rule)
			continue
		}
		lines, err := readLines(p.file, stdin, zero)
		if err != nil {
			return nil, fmt.Errorf("--exclude-from: %w", err)
		}
		for _, l := range lines {
			r, err := parseRule(l, false)
			if err != nil {
				return nil, fmt.Errorf("--exclude-from %s: %w", p.file, err)
			}
			out = append(out, r)
		}
	}
	return out, nil
}

// FilesFrom reads the names of a --files-from list, "-" from stdin, with the
// same rules for lines.
func FilesFrom(file string, stdin io.Reader, zero bool) ([]string, error) {
	lines, err := readLines(file, stdin, zero)
	if err != nil {
		return nil, fmt.Errorf("--files-from: %w", err)
	}
	return lines, nil
}

// maxList is more than one submit can carry.
const maxList = 16 << 20

func readLines(file string, stdin io.Reader, zero bool) ([]string, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	all, err := io.ReadAll(io.LimitReader(in, maxList+1))
	if err != nil {
		return nil, err
	}
	if len(all) > maxList {
		return nil, fmt.Errorf("%s is larger than 16MiB, which one transfer cannot carry", file)
	}
	sep := byte('\n')
	if zero {
		sep = 0
	}
	var out []string
	for line := range bytes.SplitSeq(all, []byte{sep}) {
		if len(line) == 0 || !zero && (line[0] == '#' || line[0] == ';') {
			continue
		}
		out = append(out, string(line))
	}
	return out, nil
}
