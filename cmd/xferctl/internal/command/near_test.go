package command

import (
	"slices"
	"strings"
	"testing"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

func TestNear(t *testing.T) {
	for word, want := range map[string]string{"nodea": "node1,nodeb", "nodeb": "node1", "x": "", "ndeb": "nodeb", "store": ""} {
		if got := strings.Join(near(word, []string{"node1", "nodeb", "n2", "storage-7"}), ","); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
	if edits("", "abc") != 3 || edits("abc", "abc") != 0 || edits("kitten", "sitting") != 3 {
		t.Error("edits")
	}
}

func TestHintsAfterTypingErrors(t *testing.T) {
	unknown := callError(xferv1.Reason_REASON_NODE_UNKNOWN, "source connect nodea: there is no such node (NODE_UNKNOWN)").(*client.Error)
	unknown.Node = "nodea"
	nodes := []*xferv1.Node{{Name: "nodes/nodeb"}, {Name: "nodes/other"}}
	same := callError(xferv1.Reason_REASON_SAME_FILE, "client submit /a/x: spec.destination.path: it is the source (SAME_FILE)").(*client.Error)
	same.Fields = []client.Field{{Name: "spec.destination.path", Problem: "it is the source"}}
	for _, c := range []struct {
		line string
		err  error
		code int
		want string
	}{
		{"cp --exlude x n1:/a n2:/b", nil, 2, "unknown flag: --exlude; did you mean --exclude?"},
		{"cp --zzzzzzzz n1:/a n2:/b", nil, 2, "unknown flag: --zzzzzzzz\n"},
		{"cp --streams abc n1:/a n2:/b", nil, 2, "it is not a whole number"},
		{"cp nodea:/a n2:/b", unknown, 10, "no node is called nodea; did you mean nodeb?"},
		{"cp n1:/A/*.txt n2:/b/", callError(xferv1.Reason_REASON_SOURCE_NOT_FOUND, "no"), 3, "n1:/A/*.txt was looked for under exactly that name"},
		{"cp n1:/a/x n1:/a/x", same, 2, "xferctl: client submit /a/x: it is the source (SAME_FILE)\n"},
		{"nodes --server unix:nope", nil, 2, `server "unix:nope": write unix:// and an absolute path`},
	} {
		w := &world{api: &fake{submitErr: c.err, nodes: nodes}}
		r := w.run(t, c.line)
		if r.code != c.code || !strings.Contains(r.err, c.want) || strings.Contains(r.err, "strconv") {
			t.Errorf("%s: %+v", c.line, r)
		}
	}
	if _, err := parseRequest([]byte("form: n1:/a\n")); err == nil || !strings.Contains(err.Error(), "known are from, to, ") {
		t.Errorf("%v", err)
	}
}

func TestSelectionOfTransfers(t *testing.T) {
	old := transfer(func(t *xferv1.Transfer) { t.Name = "nodes/n1/transfers/old" })
	list := &client.Listing{Transfers: []*xferv1.Transfer{old, transfer(nil)}}
	w := &world{api: &fake{listing: list}}
	if r := w.run(t, "transfers ls --limit 1"); r.code != 0 || strings.Contains(r.out, "n1/old") || !strings.Contains(r.out, "n1/new") {
		t.Errorf("%+v", r)
	}
	if r := w.run(t, "transfers ls --since 1h"); r.code != 0 || strings.Contains(r.out, "n1/") {
		t.Errorf("%+v", r)
	}
	if r := w.run(t, "transfers ls --since 2026-01-02T00:00:00Z"); r.code != 0 || !strings.Contains(r.out, "n1/new") {
		t.Errorf("%+v", r)
	}
	for _, line := range []string{"transfers ls --limit -1", "transfers ls --since yesterday"} {
		if r := w.run(t, line); r.code != 2 {
			t.Errorf("%s: %+v", line, r)
		}
	}
}

func TestSkippedSpecialsAreNamed(t *testing.T) {
	full := transfer(func(t *xferv1.Transfer) { t.Counters.SpecialsSkipped, t.Counters.EntriesLost = 1, 1 })
	skipped := &xferv1.EntryResult{Path: []byte("run/pipe"), Kind: xferv1.EntryKind_ENTRY_KIND_FIFO, Outcome: xferv1.Outcome_OUTCOME_SKIPPED}
	file := &xferv1.EntryResult{Path: []byte("f"), Kind: xferv1.EntryKind_ENTRY_KIND_FILE, Outcome: xferv1.Outcome_OUTCOME_SKIPPED}
	w := &world{api: &fake{full: full, waits: []wait{{t: full}}, entries: []*xferv1.EntryResult{skipped, file}}}
	for _, flag := range []string{"-v", "-i"} {
		r := w.run(t, "cp "+flag+" n1:/a/dir n2:/b/dir")
		if r.code != 5 || strings.Count(r.out, "skipped: ") != 1 || !strings.Contains(r.out, "skipped: run/pipe (fifo)\n") {
			t.Errorf("%s: %+v", flag, r)
		}
		if !slices.ContainsFunc(strings.Split(r.out, "\n"), func(l string) bool { return strings.HasPrefix(l, "SUCCEEDED, but 1 entry was not kept in full ") }) {
			t.Errorf("%+v", r)
		}
	}
}
