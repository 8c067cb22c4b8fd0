package store

import (
	"reflect"
	"testing"
	"time"
)

type bytesSample struct {
	Path   string
	List   []struct{ Name string }
	Labels map[string]string
	Ptr    *string
	When   time.Time
	Raw    []byte
}

// File names are bytes; a table gives back exactly those that were put in.
func TestTableKeepsStringsOfAnyBytes(t *testing.T) {
	bad := "/data/\xff\xfe name"
	in := bytesSample{
		Path: bad, List: []struct{ Name string }{{"plain"}, {"\xc3"}},
		Labels: map[string]string{"k\x80": "v\x81", "a": "b"}, Ptr: &bad, When: time.Unix(5, 0).UTC(), Raw: []byte{0xff},
	}
	for _, v := range []bytesSample{in, {Path: byteMark + "not coded"}, {Path: "plain"}, {}} {
		b, err := marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var out bytesSample
		if err := unmarshal(b, &out); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(v, out) {
			t.Errorf("%+v came back as %+v (%s)", v, out, b)
		}
	}
	if in.Path != bad || in.List[1].Name != "\xc3" || *in.Ptr != bad || in.Labels["k\x80"] != "v\x81" {
		t.Errorf("the caller's value was changed: %+v", in)
	}
}

func FuzzAnyBytes(f *testing.F) {
	f.Add("\xff", byteMark)
	f.Fuzz(func(t *testing.T, a, b string) {
		in := map[string][]string{"x": {a, b}}
		raw, err := marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var out map[string][]string
		if err := unmarshal(raw, &out); err != nil || out["x"][0] != a || out["x"][1] != b {
			t.Fatalf("%q, %q came back as %q: %v", a, b, out, err)
		}
	})
}
