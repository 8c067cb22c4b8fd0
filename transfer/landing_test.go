package transfer

import (
	"slices"
	"testing"
)

func TestNamesOfSources(t *testing.T) {
	named := func(paths ...string) (list []Source) {
		for _, p := range paths {
			list = append(list, Source{Path: p})
		}
		return list
	}
	tests := []struct {
		name string
		spec Spec
		want []string
	}{
		{"into", Spec{Mode: ModeCopy, DestMode: DestInto, Sources: named("/a/x", "/b/\xff", "/c")}, []string{"x", "\xff", "c"}},
		{"contents", Spec{Mode: ModeCopy, DestMode: DestInto, Sources: append(named("/a/x"), Source{Path: "/d", Contents: true})}, nil},
		{"exact", Spec{Mode: ModeCopy, DestMode: DestExact, Sources: named("/a/x")}, nil},
		{"a mirror", Spec{Mode: ModeSync, DestMode: DestInto, Sources: named("/a/x")}, nil},
		{"assembled", Spec{Mode: ModeAssemble, DestMode: DestExact}, nil},
		{"the root", Spec{Mode: ModeCopy, DestMode: DestInto, Sources: named("/a/x", "/")}, nil},
		{"nothing", Spec{Mode: ModeCopy, DestMode: DestInto}, nil},
	}
	for _, tt := range tests {
		if got := tt.spec.Names(); !slices.Equal(got, tt.want) || (got == nil) != (tt.want == nil) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
