package record

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// YAML returns v as YAML, which is made of its JSON: what needs quotes keeps
// those of JSON, which mean the same, and control bytes stay escaped.
func YAML(v any) ([]byte, error) {
	b, err := marshal(v)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber() // keeps 64-bit numbers exact
	var out bytes.Buffer
	if err := yamlValue(&out, dec, 0, false); err != nil {
		return nil, err
	}
	return bytes.TrimPrefix(out.Bytes(), []byte("\n")), nil
}

// yamlValue writes the next value after a key or a dash. A mapping in a list
// begins on the line of its dash.
func yamlValue(out *bytes.Buffer, dec *json.Decoder, depth int, inList bool) error {
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		text, err := yamlScalar(tok)
		out.WriteString(" " + text + "\n")
		return err
	}
	if !dec.More() {
		out.WriteString(" " + delim.String() + map[json.Delim]string{'{': "}", '[': "]"}[delim] + "\n")
		_, err := dec.Token()
		return err
	}
	indent := strings.Repeat("  ", depth)
	for first := true; dec.More(); first = false {
		switch {
		case first && inList && delim == '{':
			out.WriteByte(' ')
		case first:
			out.WriteByte('\n')
			fallthrough
		default:
			out.WriteString(indent)
		}
		if delim == '[' {
			out.WriteByte('-')
			if err := yamlValue(out, dec, depth+1, true); err != nil {
				return err
			}
			continue
		}
		key, err := dec.Token()
		if err != nil {
			return err
		}
		text, err := yamlScalar(key)
		if err != nil {
			return err
		}
		out.WriteString(text + ":")
		if err := yamlValue(out, dec, depth+1, false); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// plainScalar is text that YAML takes for nothing else without quotes.
var plainScalar = regexp.MustCompile(`^[A-Za-z/_][A-Za-z0-9/_. +=-]*[A-Za-z0-9/_]$|^[A-Za-z]$`)

// yamlWords are those that it takes for something else.
var yamlWords = regexp.MustCompile(`^(?i:true|false|yes|no|on|off|null|y|n)$`)

func yamlScalar(tok json.Token) (string, error) {
	if text, ok := tok.(string); ok && plainScalar.MatchString(text) && !yamlWords.MatchString(text) {
		return text, nil
	}
	b, err := marshal(tok)
	return string(b), err
}
