package lifecycle

import (
	"testing"

	"github.com/xferd/xferd/transfer"
)

func TestInTheWay(t *testing.T) {
	exact := func(dest string) transfer.Spec {
		return transfer.Spec{Mode: transfer.ModeCopy, DestMode: transfer.DestExact, Dest: dest, Sources: []transfer.Source{{Path: "/s/x"}}}
	}
	mirror := func(dest string) transfer.Spec {
		return transfer.Spec{Mode: transfer.ModeSync, DestMode: transfer.DestExact, Dest: dest, Delete: true, Sources: []transfer.Source{{Path: "/s", Contents: true}}}
	}
	into := func(dest string, paths ...string) transfer.Spec {
		s := transfer.Spec{Mode: transfer.ModeCopy, DestMode: transfer.DestInto, Dest: dest}
		for _, p := range paths {
			s.Sources = append(s.Sources, transfer.Source{Path: p})
		}
		return s
	}
	contents := into("/d", "/s/x")
	contents.Sources[0].Contents = true
	tests := []struct {
		name     string
		held     transfer.Spec
		resolved string
		want     transfer.Spec
		met      bool
	}{
		{"equal", exact("/d/x"), "", exact("/d/x"), true},
		{"beside", exact("/d/x"), "", exact("/d/xy"), false},
		{"nested", exact("/d"), "", exact("/d/x"), false},
		{"nested, the outer deletes", mirror("/d"), "", exact("/d/x"), true},
		{"nested, the inner deletes", exact("/d"), "", mirror("/d/x"), true},
		{"resolved", exact("/link"), "/d/x", exact("/d/x"), true},
		{"one name", into("/d", "/s/x", "/s/y"), "", into("/d", "/t/z", "/t/y"), true},
		{"other names", into("/d", "/s/x"), "", into("/d", "/t/y"), false},
		{"other names of what resolves to it", into("/link", "/s/x"), "/d", into("/d", "/t/y"), false},
		{"one name of what resolves to it", into("/link", "/s/x"), "/d", into("/d", "/t/x"), true},
		{"contents", contents, "", into("/d", "/t/y"), true},
		{"all of it", exact("/d"), "", into("/d", "/t/y"), true},
		{"exact at the name", into("/d", "/s/x"), "", exact("/d/x"), true},
		{"exact at another", into("/d", "/s/x"), "", exact("/d/y"), false},
		{"exact below the name", into("/d", "/s/x"), "", exact("/d/x/y"), false},
		{"into the name", into("/d", "/s/x"), "", into("/d/x", "/s/y"), false},
		{"a mirror at the name", into("/d", "/s/x"), "", mirror("/d/x"), true},
		{"a mirror below the name", into("/d", "/s/x"), "", mirror("/d/x/y"), true},
		{"a mirror at another", into("/d", "/s/x"), "", mirror("/d/y"), false},
		{"a mirror above", into("/d/e", "/s/x"), "", mirror("/d"), true},
		{"the root", into("/", "/s/x"), "", exact("/x"), true},
	}
	for _, tt := range tests {
		for _, turned := range []bool{false, true} {
			a, b := tt.held, tt.want
			if turned {
				if tt.resolved != "" {
					continue
				}
				a, b = b, a
			}
			if got := inTheWay(&transfer.Transfer{Spec: a, Resolved: tt.resolved}, &b); got != tt.met {
				t.Errorf("%s, turned %v: %v", tt.name, turned, got)
			}
		}
	}
}
