package record

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

func spec() *xferv1.TransferSpec {
	return &xferv1.TransferSpec{
		Mode:       xferv1.Mode_MODE_SYNC,
		SourceNode: "n1",
		Sources: []*xferv1.Source{{Source: &xferv1.Source_Path{Path: &xferv1.PathSource{Path: []byte("/data/<a>"), Contents: true}}},
			{Source: &xferv1.Source_Path{Path: &xferv1.PathSource{Path: []byte("/data/\xff")}}}},
		TargetNode:  "n2",
		Destination: &xferv1.Destination{Destination: &xferv1.Destination_Path{Path: []byte("/b")}, Mode: xferv1.DestinationMode_DESTINATION_MODE_INTO_DIR},
		Preserve:    &xferv1.Preserve{Properties: []xferv1.Property{xferv1.Property_PROPERTY_MODE, xferv1.Property_PROPERTY_TIMES}},
		Filters:     []*xferv1.FilterRule{{Include: true, Pattern: []byte("*.go")}, {Pattern: []byte("*")}},
		FilesFrom:   [][]byte{[]byte("x"), []byte("y")},
		ChownUid:    proto.Uint32(0),
		MaxDelete:   proto.Int64(1 << 60),
		Streams:     proto.Int32(8),
		Deadline:    timestamppb.New(time.Date(2026, 3, 1, 18, 0, 0, 5e8, time.UTC)),
		Labels:      map[string]string{"b": "2", "a": "1"},
	}
}

func TestJSON(t *testing.T) {
	b, err := Line(Of(spec()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"mode":"SYNC","source_node":"n1","sources":[{"path":{"path":"/data/<a>","contents":true}},{"path":{"path_base64":"L2RhdGEv/w==","contents":false}}],`,
		`"destination":{"path":"/b","mode":"INTO_DIR"},"preserve":{"properties":["MODE","TIMES"]},`,
		`"files_from":["x","y"],"chown_uid":0,"dry_run":false,"delete":false,"max_delete":1152921504606846976,`,
		`"deadline":"2026-03-01T18:00:00.5Z","labels":{"a":"1","b":"2"}}` + "\n",
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s\nlacks %s", b, want)
		}
	}
	if pretty, err := JSON(Of(spec())); err != nil || !strings.Contains(string(pretty), "\n  \"source_node\": \"n1\",\n") {
		t.Errorf("%s, %v", pretty, err)
	}
}

func TestNothingReachesATerminal(t *testing.T) {
	rec := Object{{"a\x1b", "\x1b[31m \u009b2J \u202e \U000e0001 ü \x7f"}, {"n", int64(1) << 62}}
	for form, f := range map[string]func(any) ([]byte, error){"json": JSON, "yaml": YAML, "line": Line} {
		b, err := f(rec)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range strings.TrimSpace(strings.ReplaceAll(string(b), "\n", "")) {
			if !strconv.IsPrint(r) {
				t.Errorf("%s has %q: %q", form, r, b)
			}
		}
		var back map[string]any
		if err := yaml.Unmarshal(b, &back); err != nil || back["a\x1b"] != rec[0].Value || back["n"] != uint64(1)<<62 {
			t.Errorf("%s: %v, %#v from %s", form, err, back, b)
		}
	}
}

func TestYAML(t *testing.T) {
	b, err := YAML(Object{
		{"list", []any{}}, {"map", Object{}}, {"words", []string{"yes", "a b", "- x", "", "1", "~", "a: b", "#", "plain/path", "2026-01-01", "x ", "tab\t"}},
		{"deep", []Object{{{"a", []Object{{{"b", true}}}}, {"c", nil}}, {{"d", 1.5}}}},
	})
	want := `list: []
map: {}
words:
  - "yes"
  - a b
  - "- x"
  - ""
  - "1"
  - "~"
  - "a: b"
  - "#"
  - plain/path
  - "2026-01-01"
  - "x "
  - "tab\t"
deep:
  - a:
      - b: true
    c: null
  - d: 1.5
`
	if err != nil || string(b) != want {
		t.Errorf("%v\n%s", err, b)
	}
	var m map[string]any
	if err := yaml.Unmarshal(b, &m); err != nil {
		t.Error(err)
	}
}

func TestThereAndBack(t *testing.T) {
	text, err := YAML(Of(spec()))
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var got xferv1.TransferSpec
	if err := Fill(&got, m); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !proto.Equal(&got, spec()) {
		t.Errorf("%v\n%v", &got, spec())
	}
}

func TestFillIsLenientWhereItIsSafe(t *testing.T) {
	var m map[string]any
	if err := yaml.Unmarshal([]byte(`
verify: store
transport: TRANSPORT_POLICY_RDMA
compare: size-mtime
chunk_size: 4MiB
max_bytes_per_second: 1Gbit
deadline: 2026-03-01T18:00:00+01:00
preserve: {}
labels:
`), &m); err != nil {
		t.Fatal(err)
	}
	var got xferv1.TransferSpec
	if err := Fill(&got, m); err != nil {
		t.Fatal(err)
	}
	want := &xferv1.TransferSpec{
		Verify: xferv1.Verify_VERIFY_STORE, Transport: xferv1.TransportPolicy_TRANSPORT_POLICY_RDMA, Compare: xferv1.Compare_COMPARE_SIZE_MTIME,
		ChunkSize: proto.Int64(4 << 20), MaxBytesPerSecond: proto.Int64(125e6), Preserve: &xferv1.Preserve{},
		Deadline: timestamppb.New(time.Date(2026, 3, 1, 17, 0, 0, 0, time.UTC)),
	}
	if !proto.Equal(&got, want) {
		t.Errorf("%v\n%v", &got, want)
	}
}

func TestFillRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"verfy: store":                       "verfy: there is no such field; known are",
		"verify: hard":                       `"hard" is not one of none, wire, store, media`,
		"verify: 3":                          "must be a name",
		"streams: many":                      "streams: must be a whole number",
		"streams: 3000000000":                "out of range",
		"streams: 1.5":                       "must be a whole number",
		"chunk_size: 4MB4":                   "chunk_size:",
		"source_node: 7":                     "source_node: must be text",
		"dry_run: yes please":                "true or false",
		"sources: /a":                        "sources: must be a list",
		"sources: [/a]":                      "sources[0]: must be a mapping",
		"sources: [{path: {path: 1}}]":       "sources[0].path.path: must be text",
		"sources: [null]":                    "sources[0]: is empty",
		"labels: {a: 1}":                     "labels.a: must be text",
		"labels: [a]":                        "must be a mapping",
		"deadline: tomorrow":                 "deadline: must be a time",
		"files_from_base64: ['***']":         "files_from_base64[0]:",
		"verify_base64: x":                   "no such field",
		"destination: {path: /a, patth: /b}": "destination.patth",
		"chown_uid: -1":                      "out of range",
		"destination: {path: /a, path_base64: Yg==}": "there is a path already",
	} {
		var m map[string]any
		if err := yaml.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		var got xferv1.TransferSpec
		if err := Fill(&got, m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}

func FuzzFill(f *testing.F) {
	f.Add("sources: [{path: {path: /a}}]\nstreams: 3\n")
	f.Add("a: &a [*a]")
	f.Add("labels: {? [x] : y}")
	f.Fuzz(func(t *testing.T, text string) {
		var m map[string]any
		if len(text) > 1000 || yaml.Unmarshal([]byte(text), &m) != nil {
			return
		}
		var got xferv1.TransferSpec
		if Fill(&got, m) == nil {
			if _, err := JSON(Of(&got)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
