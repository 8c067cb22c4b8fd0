package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/region"
	"github.com/xferd/xferd/transfer"
)

func (n *fakeNode) regions() xferv1.RegionServiceClient { return xferv1.NewRegionServiceClient(n.conn) }

// withRegions gives the nodes of a cluster real registries.
func withRegions(t *testing.T, c *fakeCluster) map[transfer.NodeID]*region.Registry {
	t.Helper()
	out := map[transfer.NodeID]*region.Registry{}
	for id, n := range c.nodes {
		s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "state"), store.Options{NodeID: string(id), Cluster: "c", Log: slog.New(slog.DiscardHandler), NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		r, err := region.Open(t.Context(), region.Config{Store: s, Log: slog.New(slog.DiscardHandler), Boot: "boot", Memory: 64 * region.PageSize})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = r.Close(), s.Close() })
		n.server.cfg.Regions = r
		out[id] = r
	}
	return out
}

func newRegion(node, id string) *xferv1.CreateRegionRequest {
	return &xferv1.CreateRegionRequest{Parent: "nodes/" + node, RegionId: id, Region: &xferv1.Region{SizeBytes: 2 * region.PageSize}}
}

func mustMake(t *testing.T, n *fakeNode, who string, req *xferv1.CreateRegionRequest) *xferv1.Region {
	t.Helper()
	resp, err := n.regions().CreateRegion(as(t, who), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetRegion()
}

func TestRegionOfAnotherNode(t *testing.T) {
	c := newCluster(t, "n1", "n2")
	reg := withRegions(t, c)
	n := c.nodes["n1"]
	req := newRegion("n2", "x")
	req.Region.Readers, req.Region.Labels, req.Region.Ttl = []string{"bob"}, map[string]string{"a": "b"}, durationpb.New(time.Hour)
	made := mustMake(t, n, "ann", req)
	if made.GetName() != "nodes/n2/regions/x" || made.GetOwner() != "ann" || made.GetState() != xferv1.RegionState_REGION_STATE_READY ||
		made.GetSizeBytes() != 8192 || made.GetTtl().AsDuration() != time.Hour || made.GetExpireTime() == nil || len(made.GetUid()) != 32 {
		t.Errorf("region %v", made)
	}
	if _, err := reg["n2"].Get("ann", "x"); err != nil {
		t.Error(err)
	}
	get, err := n.regions().GetRegion(as(t, "bob"), &xferv1.GetRegionRequest{Name: "nodes/n2/regions/x"})
	if err != nil || get.GetRegion().GetLabels()["a"] != "b" {
		t.Errorf("%v, %v", get, err)
	}
	up, err := n.regions().UpdateRegion(as(t, "ann"), &xferv1.UpdateRegionRequest{
		Region:     &xferv1.Region{Name: "nodes/n2/regions/x", Readers: []string{"*"}, Labels: map[string]string{"not": "asked"}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"readers"}},
	})
	if err != nil || !slices.Equal(up.GetRegion().GetReaders(), []string{"*"}) || up.GetRegion().GetLabels()["a"] != "b" {
		t.Errorf("%v, %v", up, err)
	}
	if _, err := n.regions().DeleteRegion(as(t, "ann"), &xferv1.DeleteRegionRequest{Name: "nodes/n2/regions/x"}); err != nil {
		t.Fatal(err)
	}
	_, err = n.regions().DeleteRegion(as(t, "ann"), &xferv1.DeleteRegionRequest{Name: "nodes/n2/regions/x"})
	wantReason(t, "deleted twice", err, transfer.RegionNotFound)
}

func TestRegionRefusals(t *testing.T) {
	c := newCluster(t, "n1")
	n := c.nodes["n1"]
	_, err := n.regions().CreateRegion(as(t, "ann"), newRegion("n1", "x"))
	wantReason(t, "a node without regions", err, transfer.Unsupported)
	reg := withRegions(t, c)["n1"]
	create := func(f func(*xferv1.CreateRegionRequest)) error {
		req := newRegion("n1", "y")
		f(req)
		_, err := n.regions().CreateRegion(as(t, "ann"), req)
		return err
	}
	mustMake(t, n, "ann", newRegion("n1", "x"))
	for what, c := range map[string]struct {
		want transfer.Reason
		err  error
	}{
		"size 0":           {transfer.InvalidSpec, create(func(r *xferv1.CreateRegionRequest) { r.Region.SizeBytes = 0 })},
		"no page multiple": {transfer.InvalidSpec, create(func(r *xferv1.CreateRegionRequest) { r.Region.SizeBytes = 4097 })},
		"2^63-1 bytes":     {transfer.InvalidSpec, create(func(r *xferv1.CreateRegionRequest) { r.Region.SizeBytes = 1<<63 - 1 })},
		"negative":         {transfer.InvalidSpec, create(func(r *xferv1.CreateRegionRequest) { r.Region.SizeBytes = -4096 })},
		"over the budget":  {transfer.RegionLimit, create(func(r *xferv1.CreateRegionRequest) { r.Region.SizeBytes = 1 << 30 })},
		"no region":        {transfer.InvalidSpec, create(func(r *xferv1.CreateRegionRequest) { r.Region = nil })},
		"bad id":           {transfer.InvalidSpec, create(func(r *xferv1.CreateRegionRequest) { r.RegionId = "../x" })},
		"all nodes":        {transfer.InvalidSpec, create(func(r *xferv1.CreateRegionRequest) { r.Parent = "nodes/-" })},
		"unknown node":     {transfer.NodeUnknown, create(func(r *xferv1.CreateRegionRequest) { r.Parent = "nodes/n9" })},
		"ttl 0":            {transfer.InvalidSpec, create(func(r *xferv1.CreateRegionRequest) { r.Region.Ttl = durationpb.New(0) })},
		"taken":            {transfer.RegionExists, create(func(r *xferv1.CreateRegionRequest) { r.RegionId = "x" })},
	} {
		wantReason(t, what, c.err, c.want)
	}
	_, err = n.regions().CreateRegion(as(t, "bob"), newRegion("n1", "x"))
	wantReason(t, "name of somebody else", err, transfer.RegionExists)
	if status.Code(err) != codes.AlreadyExists {
		t.Errorf("code %v", status.Code(err))
	}
	_, err = n.regions().GetRegion(as(t, "bob"), &xferv1.GetRegionRequest{Name: "nodes/n1/regions/x"})
	wantReason(t, "get without right", err, transfer.RegionNotFound)
	_, err = n.regions().DeleteRegion(as(t, "bob"), &xferv1.DeleteRegionRequest{Name: "nodes/n1/regions/x", Force: true})
	wantReason(t, "delete without right", err, transfer.RegionNotFound)
	_, err = n.regions().UpdateRegion(as(t, "ann"), &xferv1.UpdateRegionRequest{
		Region: &xferv1.Region{Name: "nodes/n1/regions/x"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"size_bytes"}},
	})
	wantReason(t, "a field that stays", err, transfer.InvalidSpec)
	for _, name := range []string{"", "x", "nodes/n1/regions/", "nodes/n1/transfers/x", "nodes/-/regions/x", "nodes/n1/regions/a b"} {
		_, err := n.regions().GetRegion(as(t, "ann"), &xferv1.GetRegionRequest{Name: name})
		wantReason(t, name, err, transfer.InvalidSpec)
	}

	w, err := reg.Write(t.Context(), region.WriteRequest{Principal: "ann", ID: "x", Ranges: []region.Range{{Offset: 0, Length: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.regions().DeleteRegion(as(t, "ann"), &xferv1.DeleteRegionRequest{Name: "nodes/n1/regions/x"})
	wantReason(t, "busy", err, transfer.RegionBusy)
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("code %v", status.Code(err))
	}
	_ = w.Close()
	if _, err := n.regions().DeleteRegion(as(t, "root"), &xferv1.DeleteRegionRequest{Name: "nodes/n1/regions/x"}); err != nil {
		t.Errorf("an administrator: %v", err)
	}
}

func TestListRegions(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3")
	withRegions(t, c)
	n := c.nodes["n2"]
	var want []string
	for _, node := range []string{"n1", "n2", "n3"} {
		for i := range 4 {
			who := "ann"
			if i == 2 {
				who = "bob"
			}
			name := mustMake(t, n, who, newRegion(node, fmt.Sprint("r", i))).GetName()
			if who == "ann" {
				want = append(want, name)
			}
		}
	}
	list := func(who, parent string, size int32) (names, lost []string) {
		req := &xferv1.ListRegionsRequest{Parent: parent, PageSize: size}
		for {
			resp, err := n.regions().ListRegions(as(t, who), req)
			if err != nil {
				t.Fatal(err)
			}
			if size > 0 && len(resp.GetRegions()) > int(size) {
				t.Errorf("%d regions in a page of %d", len(resp.GetRegions()), size)
			}
			for _, g := range resp.GetRegions() {
				names = append(names, g.GetName())
			}
			lost = append(lost, resp.GetUnreachable()...)
			if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
				return names, lost
			}
		}
	}
	for _, size := range []int32{0, 1, 2, 3, 5, 1000} {
		if got, lost := list("ann", "nodes/-", size); !slices.Equal(got, want) || len(lost) > 0 {
			t.Errorf("pages of %d: %v, without %v, want %v", size, got, lost, want)
		}
		if got, _ := list("ann", "nodes/n3", size); !slices.Equal(got, want[6:]) {
			t.Errorf("pages of %d of n3: %v", size, got)
		}
	}
	if got, _ := list("root", "nodes/-", 0); len(got) != 12 {
		t.Errorf("an administrator sees %v", got)
	}
	n.mu.Lock()
	n.down["n3"] = true
	n.mu.Unlock()
	if got, lost := list("ann", "nodes/-", 0); !slices.Equal(got, want[:6]) || !slices.Equal(lost, []string{"n3"}) {
		t.Errorf("without n3: %v, unreachable %v", got, lost)
	}
	_, err := n.regions().ListRegions(as(t, "ann"), &xferv1.ListRegionsRequest{Parent: "nodes/n1", PageToken: "x"})
	wantReason(t, "token", err, transfer.InvalidPageToken)
}

// A watch, also one that another node relays, tells of commits and of the end.
func TestWatchRegion(t *testing.T) {
	c := newCluster(t, "n1", "n2")
	reg := withRegions(t, c)["n2"]
	mustMake(t, c.nodes["n1"], "ann", newRegion("n2", "x"))
	for _, from := range []transfer.NodeID{"n1", "n2"} {
		after := uint64(0)
		if info, err := reg.Get("ann", "x"); err == nil {
			after = info.Generation
		}
		stream, err := c.nodes[from].regions().WatchRegion(as(t, "ann"), &xferv1.WatchRegionRequest{Name: "nodes/n2/regions/x", AfterGeneration: &after})
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.Recv()
		if err != nil || m.GetRegion().GetName() != "nodes/n2/regions/x" {
			t.Fatalf("%v, %v", m, err)
		}
		w, err := reg.Write(context.Background(), region.WriteRequest{Principal: "ann", ID: "x", Ranges: []region.Range{{Offset: 5, Length: 7}}, Transfer: "nodes/n1/transfers/t"})
		if err != nil {
			t.Fatal(err)
		}
		g, err := w.Commit(region.Commit{Bytes: 7, Digest: [16]byte{9}})
		if err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		if m, err = stream.Recv(); err != nil {
			t.Fatal(err)
		}
		got := m.GetCommit()
		if m.GetGeneration() != g || got.GetBytes() != 7 || got.GetTransfer() != "nodes/n1/transfers/t" || got.GetPrincipal() != "ann" ||
			len(got.GetRanges()) != 1 || got.GetRanges()[0].GetOffset() != 5 || len(got.GetDigest()) != 16 {
			t.Errorf("commit %v", m)
		}
		if from == "n1" {
			continue
		}
		if err := reg.Delete(context.Background(), "ann", "x", false); err != nil {
			t.Fatal(err)
		}
		if m, err = stream.Recv(); err != nil || m.GetState() != xferv1.RegionState_REGION_STATE_DELETING || m.GetStateChange() == nil {
			t.Errorf("the end: %v, %v", m, err)
		}
		if _, err = stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
	}
	stream, err := c.nodes["n1"].regions().WatchRegion(as(t, "ann"), &xferv1.WatchRegionRequest{Name: "nodes/n2/regions/x"})
	if err == nil {
		_, err = stream.Recv()
	}
	wantReason(t, "a region that is gone", err, transfer.RegionNotFound)
}
