package transfer

import (
	"strings"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	for _, c := range []struct {
		s        string
		id, node bool
	}{
		{"a", true, true}, {"9", true, true}, {"n-1", true, true}, {"n1.example_x", true, true},
		{"job:1+2~3", true, false}, {"a-", true, false}, {"a.", true, false},
		{"", false, false}, {"-a", false, false}, {".a", false, false}, {"a b", false, false}, {"a/b", false, false},
		{"ä", false, false}, {"a\x00", false, false}, {"..", false, false},
		{strings.Repeat("a", 63), true, true}, {strings.Repeat("a", 64), true, false},
		{strings.Repeat("a", 128), true, false}, {strings.Repeat("a", 129), false, false},
	} {
		if CheckID(c.s) != c.id || CheckNodeID(c.s) != c.node {
			t.Errorf("%q: id %t, node %t", c.s, CheckID(c.s), CheckNodeID(c.s))
		}
	}
}

func TestQueryMatch(t *testing.T) {
	tr := &Transfer{ID: "x", State: StateRunning, Spec: Spec{Principal: "ann", Labels: map[string]string{"a": "1", "b": ""}}}
	for _, c := range []struct {
		q    Query
		want bool
	}{
		{Query{}, true},
		{Query{ID: "x", Principal: "ann", States: []State{StateQueued, StateRunning}, Labels: map[string]string{"a": "1"}}, true},
		{Query{ID: "y"}, false},
		{Query{Principal: "bob"}, false},
		{Query{States: []State{StateFailed}}, false},
		{Query{Labels: map[string]string{"a": "2"}}, false},
		{Query{Labels: map[string]string{"b": ""}}, true},
		{Query{Labels: map[string]string{"c": ""}}, false},
	} {
		if c.q.Match(tr) != c.want {
			t.Errorf("%+v: %t", c.q, !c.want)
		}
	}
}

func TestPositionOrder(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	in := []Position{{}, {early, UID{1}}, {early, UID{2}}, {late, UID{}}}
	for i := range in {
		for j := range in {
			if in[i].Less(in[j]) != (i < j) {
				t.Errorf("%v before %v: %t", in[i], in[j], in[i].Less(in[j]))
			}
		}
	}
	if (Position{early.UTC(), UID{1}}).Less(Position{early.Local(), UID{1}}) {
		t.Error("a time zone makes an order")
	}
}
