package place

import (
	"strings"
	"testing"
)

func TestParseRegion(t *testing.T) {
	for arg, want := range map[string]Region{
		"n1:@w":                       {Node: "n1", ID: "w", Length: -1},
		"n1:@w+0":                     {Node: "n1", ID: "w", Length: -1, Ranged: true},
		"n1:@w+4096":                  {Node: "n1", ID: "w", Offset: 4096, Length: -1, Ranged: true},
		"n1:@w+4KiB,1MiB":             {Node: "n1", ID: "w", Offset: 4096, Length: 1 << 20, Ranged: true},
		"n1:@a.b_c-d+1,0":             {Node: "n1", ID: "a.b_c-d", Offset: 1, Ranged: true},
		"n1:@w+0,9223372036854775807": {Node: "n1", ID: "w", Length: 1<<63 - 1, Ranged: true},
	} {
		got, err := ParseRegion(arg)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", arg, got, err)
		}
		if again, err := ParseRegion(got.String()); err != nil || again != want {
			t.Errorf("%s typed as %s is %+v, %v", arg, got, again, err)
		}
	}
	for arg, says := range map[string]string{
		"w":                           "NODE:@REGION",
		"@w":                          "NODE:@REGION",
		"n1:/data":                    "NODE:@REGION",
		"n1:@":                        "not the name of a region",
		":@w":                         "no node",
		"me@n1:@w":                    "without a user",
		"n1:@../w":                    "not the name of a region",
		"n1:@w/x":                     "not the name of a region",
		"n1:@w,5":                     "OFFSET,LENGTH",
		"n1:@w+":                      "offset: it is missing",
		"n1:@w+5,":                    "length: it is missing",
		"n1:@w+-5":                    "offset",
		"n1:@w+5,-1":                  "length",
		"n1:@w+9223372036854775808":   "more than any region",
		"n1:@w+1,9223372036854775807": "as large as that",
		"n1:@w+5,6,7":                 "length",
		"n1:@w+lots":                  "offset",
	} {
		if r, err := ParseRegion(arg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %+v, %v, want %q", arg, r, err, says)
		}
	}
}

// Where a path is wanted a region is refused, and said to be one.
func TestARegionIsNoPath(t *testing.T) {
	for _, arg := range []string{"n1:@w", "n1:@w+4KiB,5"} {
		if _, err := Parse(arg, nil); err == nil || !strings.Contains(err.Error(), "memory region") {
			t.Errorf("%s: %v", arg, err)
		}
	}
	if IsRegion("./a:@b") || IsRegion("/x:@b") || !IsRegion("n1:@b") {
		t.Error("what is a region is not told from a path")
	}
}
