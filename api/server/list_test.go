package server

import (
	"fmt"
	"slices"
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// pages lists with a page size and returns the names, the pages and the last
// answer.
func pages(t *testing.T, n *fakeNode, who string, req *xferv1.ListTransfersRequest) (names []string, count int, last *xferv1.ListTransfersResponse) {
	t.Helper()
	for {
		resp, err := n.transfers().ListTransfers(as(t, who), req)
		if err != nil {
			t.Fatal(err)
		}
		count++
		if count > 1000 {
			t.Fatal("the pages do not end")
		}
		if len(resp.GetTransfers()) > int(req.GetPageSize()) && req.GetPageSize() > 0 {
			t.Errorf("a page has %d transfers", len(resp.GetTransfers()))
		}
		for _, tr := range resp.GetTransfers() {
			names = append(names, tr.GetName())
		}
		if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
			return names, count, resp
		}
	}
}

func TestListOwn(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	for i := range 7 {
		who := "ann"
		if i == 3 {
			who = "bob"
		}
		n.engine.add(fmt.Sprint("t", i), who, func(tr *transfer.Transfer) { tr.Spec.Labels = map[string]string{"odd": fmt.Sprint(i%2 == 1)} })
	}
	n.engine.set("t5", func(tr *transfer.Transfer) { tr.State = transfer.StateFailed })
	n.engine.incoming = []transfer.Transfer{{Owner: "n7", ID: "in", UID: transfer.UID{1}, Spec: transfer.Spec{Principal: "ann"}}}
	for _, c := range []struct {
		name   string
		who    string
		filter *xferv1.TransferFilter
		want   string
	}{
		{"own", "ann", nil, "[t0 t1 t2 t4 t5 t6]"},
		{"all", "root", nil, "[t0 t1 t2 t3 t4 t5 t6]"},
		{"of bob", "root", &xferv1.TransferFilter{Principal: "bob"}, "[t3]"},
		{"odd", "ann", &xferv1.TransferFilter{Labels: map[string]string{"odd": "true"}}, "[t1 t5]"},
		{"failed", "ann", &xferv1.TransferFilter{States: []xferv1.State{xferv1.State_STATE_FAILED}}, "[t5]"},
	} {
		for _, size := range []int32{0, 1, 2, 1e9} {
			req := &xferv1.ListTransfersRequest{Parent: "nodes/n1", Filter: c.filter, PageSize: size}
			names, _, last := pages(t, n, c.who, req)
			for i := range names {
				names[i] = names[i][len("nodes/n1/transfers/"):]
			}
			if fmt.Sprint(names) != c.want || last.GetWatchToken() == "" {
				t.Errorf("%s in pages of %d: %v, want %s", c.name, size, names, c.want)
			}
		}
	}
	in, _, _ := pages(t, n, "ann", &xferv1.ListTransfersRequest{Parent: "nodes/n1", Incoming: true})
	if fmt.Sprint(in) != "[nodes/n7/transfers/in]" {
		t.Errorf("incoming: %v", in)
	}
}

func TestListRefusals(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	n.engine.add("a", "ann")
	n.engine.add("b", "ann")
	list := func(r *xferv1.ListTransfersRequest) (*xferv1.ListTransfersResponse, error) {
		return n.transfers().ListTransfers(as(t, "ann"), r)
	}
	for _, parent := range []string{"", "nodes", "nodes/", "nodes/*", "nodes/n1/", "n1", "nodes/n1/transfers/a"} {
		_, err := list(&xferv1.ListTransfersRequest{Parent: parent})
		wantReason(t, parent, err, transfer.InvalidSpec)
	}
	_, err := list(&xferv1.ListTransfersRequest{Parent: "nodes/n1", PageSize: -1})
	wantReason(t, "page size -1", err, transfer.InvalidSpec)
	_, err = list(&xferv1.ListTransfersRequest{Parent: "nodes/n1", View: 9})
	wantReason(t, "unknown view", err, transfer.InvalidSpec)
	_, err = list(&xferv1.ListTransfersRequest{Parent: "nodes/n1", Filter: &xferv1.TransferFilter{States: []xferv1.State{0}}})
	wantReason(t, "unset state", err, transfer.InvalidSpec)
	_, err = list(&xferv1.ListTransfersRequest{Parent: "nodes/n1", Filter: &xferv1.TransferFilter{Principal: "bob"}})
	wantReason(t, "of somebody else", err, transfer.PermissionDenied)

	page, err := list(&xferv1.ListTransfersRequest{Parent: "nodes/n1", PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*xferv1.ListTransfersRequest{
		{Parent: "nodes/n1", PageToken: "x"},
		{Parent: "nodes/n1", PageToken: page.GetNextPageToken(), Incoming: true},
		{Parent: "nodes/-", PageToken: page.GetNextPageToken()},
		{Parent: "nodes/n1", PageToken: page.GetNextPageToken(), View: xferv1.TransferView_TRANSFER_VIEW_FULL},
	} {
		_, err := list(r)
		wantReason(t, r.String(), err, transfer.InvalidPageToken)
	}
	_, err = n.transfers().ListTransfers(as(t, "bob"), &xferv1.ListTransfersRequest{Parent: "nodes/n1", PageToken: page.GetNextPageToken()})
	wantReason(t, "a token of somebody else", err, transfer.InvalidPageToken)
}

// TestListAll lists over three owners, of which one does not answer.
func TestListAll(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3", "n4")
	var want []string
	for _, id := range []transfer.NodeID{"n1", "n2", "n4"} {
		for i := range 5 {
			c.nodes[id].engine.add(fmt.Sprint("t", i), "ann")
			want = append(want, transfer.Name(id, fmt.Sprint("t", i)))
		}
	}
	c.nodes["n3"].engine.add("hidden", "ann")
	n := c.nodes["n2"] // any node will do
	n.down["n3"] = true
	for _, size := range []int32{0, 1, 2, 3, 4, 5, 7, 100} {
		req := &xferv1.ListTransfersRequest{Parent: "nodes/-", PageSize: size}
		var got, unreachable []string
		var token string
		for {
			resp, err := n.transfers().ListTransfers(as(t, "ann"), req)
			if err != nil {
				t.Fatal(err)
			}
			for _, tr := range resp.GetTransfers() {
				got = append(got, tr.GetName())
			}
			unreachable = append(unreachable, resp.GetUnreachable()...)
			if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
				token = resp.GetWatchToken()
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v", size, got)
		}
		if !slices.Equal(slices.Compact(unreachable), []string{"n3"}) {
			t.Errorf("pages of %d: unreachable are %v", size, unreachable)
		}
		tok, err := decodeToken(token)
		if err != nil || len(tok.marks) != 3 {
			t.Errorf("pages of %d: the watch token has %v (%v)", size, tok, err)
		}
	}
	// What one may see is decided by each owner.
	if got, _, _ := pages(t, n, "bob", &xferv1.ListTransfersRequest{Parent: "nodes/-"}); len(got) != 0 {
		t.Errorf("bob sees %v", got)
	}
	if got, _, _ := pages(t, n, "root", &xferv1.ListTransfersRequest{Parent: "nodes/-"}); len(got) != 15 {
		t.Errorf("root sees %v", got)
	}
}

// TestListAllAsksFewNodes: a page that is full does not wait for the nodes after
// it, and nodes that are not there are not asked, but named: also those that left.
func TestListAllAsksFewNodes(t *testing.T) {
	c := newCluster(t, "n1")
	n := c.nodes["n1"]
	for i := range 3 {
		n.engine.add(fmt.Sprint("t", i), "ann")
	}
	for i := range 100 {
		n.members.put(Node{ID: transfer.NodeID(fmt.Sprintf("x%03d", i)), State: NodeFailed})
	}
	n.members.put(Node{ID: "zz-gone", State: NodeLeft})
	resp, err := n.transfers().ListTransfers(as(t, "ann"), &xferv1.ListTransfersRequest{Parent: "nodes/-", PageSize: 2})
	if err != nil || len(resp.GetTransfers()) != 2 || len(resp.GetUnreachable()) != 0 {
		t.Errorf("%v, %v", resp, err)
	}
	resp, err = n.transfers().ListTransfers(as(t, "ann"), &xferv1.ListTransfersRequest{Parent: "nodes/-", PageSize: 2, PageToken: resp.GetNextPageToken()})
	if err != nil || len(resp.GetTransfers()) != 1 || len(resp.GetUnreachable()) != 101 || resp.GetUnreachable()[100] != "zz-gone" || resp.GetNextPageToken() != "" {
		t.Errorf("%d transfers, %d unreachable, %v", len(resp.GetTransfers()), len(resp.GetUnreachable()), err)
	}
}

// TestLargePagesEndEarly: a page stays below what a message may have.
func TestLargePagesEndEarly(t *testing.T) {
	c := newCluster(t, "n1", "n2")
	for _, n := range c.nodes {
		for i := range 40 {
			n.engine.add(fmt.Sprint("t", i), "ann", func(tr *transfer.Transfer) {
				for range 1000 {
					tr.Spec.FilesFrom = append(tr.Spec.FilesFrom, string(make([]byte, 200)))
				}
			})
		}
	}
	for _, parent := range []string{"nodes/n1", "nodes/n2", "nodes/-"} {
		req := &xferv1.ListTransfersRequest{Parent: parent, PageSize: 1000, View: xferv1.TransferView_TRANSFER_VIEW_FULL}
		names, count, _ := pages(t, c.nodes["n1"], "ann", req)
		want := 40
		if parent == "nodes/-" {
			want = 80
		}
		slices.Sort(names)
		if len(slices.Compact(names)) != want || count < want/20 {
			t.Errorf("%s: %d transfers in %d pages", parent, len(names), count)
		}
	}
}
