package server

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/xferd/xferd/transfer"
)

func someTokens() []token {
	return []token{
		{kind: tokenList, request: 1 << 63, inner: "state", number: 77, place: transfer.Position{Created: time.Unix(12, 34), UID: transfer.UID{1, 2, 3}}},
		{kind: tokenListAll, text: "n2", inner: "abc", marks: []nodeMark{{"n1", "x"}, {"n2", ""}}},
		{kind: tokenEntries, request: 5, number: 1<<64 - 1},
		{kind: tokenFiles, text: "\xff\x00name"},
		{kind: tokenMarks},
	}
}

func TestTokenRoundTrip(t *testing.T) {
	for _, want := range someTokens() {
		got, err := parseToken("page_token", want.String(), want.kind, want.request)
		if err != nil {
			t.Errorf("%+v: %v", want, err)
			continue
		}
		if !got.place.Created.Equal(want.place.Created) {
			t.Errorf("%v became %v", want.place.Created, got.place.Created)
		}
		got.place.Created = want.place.Created
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%+v became %+v", want, *got)
		}
	}
}

func TestTokenRefused(t *testing.T) {
	good := (&token{kind: tokenList, request: 7}).String()
	for name, s := range map[string]string{
		"not base64":  "%%%",
		"cut":         good[:len(good)-3],
		"another bit": "B" + good[1:],
		"longer":      good + "AAAA",
		"too long":    strings.Repeat("A", maxToken+1),
	} {
		if _, err := parseToken("page_token", s, tokenList, 7); transfer.ReasonOf(err) != transfer.InvalidPageToken {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := parseToken("page_token", good, tokenEntries, 7); transfer.ReasonOf(err) != transfer.InvalidPageToken {
		t.Errorf("of another call: %v", err)
	}
	if _, err := parseToken("page_token", good, tokenList, 8); transfer.ReasonOf(err) != transfer.InvalidPageToken {
		t.Errorf("of another request: %v", err)
	}
}

func FuzzToken(f *testing.F) {
	for _, t := range someTokens() {
		f.Add(t.String())
	}
	f.Add("")
	f.Add("AQEAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := decodeToken(s)
		if err != nil {
			return
		}
		again, err := decodeToken(tok.String())
		if err != nil {
			t.Fatalf("%+v is not read again: %v", tok, err)
		}
		if again.String() != tok.String() {
			t.Fatalf("%+v became %+v", tok, again)
		}
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"nodes/n1/transfers/a", "nodes/-", "nodes//transfers/", "nodes/n1/transfers/a/b", "", "nodes/\xff/transfers/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if owner, id, err := parseName("name", s); err == nil {
			if transfer.Name(owner, id) != s {
				t.Fatalf("%q is read as %q", s, transfer.Name(owner, id))
			}
		} else if transfer.ReasonOf(err) != transfer.InvalidSpec {
			t.Fatalf("%q: %v", s, err)
		}
		if node, all, err := parseParent("parent", s); err == nil && !all && "nodes/"+string(node) != s {
			t.Fatalf("%q is read as %q", s, node)
		}
	})
}
