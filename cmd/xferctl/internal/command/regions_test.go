package command

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// fakeRegions are those of a fake; requests are written down.
type fakeRegions struct {
	*fake
	asked []string
}

func aRegion(change func(*xferv1.Region)) *xferv1.Region {
	g := &xferv1.Region{
		Name: "nodes/n1/regions/w", Uid: strings.Repeat("0a", 16), SizeBytes: 1 << 30, Owner: "uid:0", State: xferv1.RegionState_REGION_STATE_READY,
		Ttl: durationpb.New(time.Hour), CreateTime: timestamppb.New(t0), ExpireTime: timestamppb.New(t0.Add(time.Hour)), Generation: 7,
	}
	if change != nil {
		change(g)
	}
	return g
}

func (f *fakeRegions) note(format string, args ...any) {
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

func (f *fakeRegions) CreateRegion(_ context.Context, node, id string, r *xferv1.Region) (*xferv1.Region, error) {
	b, _ := protojson.Marshal(r)
	f.note("create %s %s %s", node, id, strings.ReplaceAll(string(b), " ", ""))
	if id == "taken" {
		return nil, callError(xferv1.Reason_REASON_REGION_EXISTS, "region taken: the name is taken")
	}
	return aRegion(nil), nil
}

func (f *fakeRegions) GetRegion(_ context.Context, name string) (*xferv1.Region, error) {
	f.note("get %s", name)
	numa := int32(0)
	return aRegion(func(g *xferv1.Region) {
		g.ExpireTime, g.Attached, g.OpenWrites, g.NumaNode, g.PageSize = nil, 2, 1, &numa, 2<<20
		g.Readers, g.Labels = []string{"uid:1000", "evil\x1b"}, map[string]string{"job": "7"}
		g.Torn, g.TornCount = []*xferv1.RegionRange{{Offset: 0, Length: 4096}}, 3
	}), nil
}

func (f *fakeRegions) ListRegions(_ context.Context, parent string) ([]*xferv1.Region, []string, error) {
	f.note("list %s", parent)
	return []*xferv1.Region{
		aRegion(nil),
		aRegion(func(g *xferv1.Region) {
			g.Name, g.State, g.ExpireTime, g.Attached, g.OpenWrites = "nodes/n2/regions/halo", xferv1.RegionState_REGION_STATE_DETACHED, nil, 1, 2
		}),
		aRegion(func(g *xferv1.Region) { g.Name, g.TornCount = "nodes/n2/regions/torn", 1 }),
	}, []string{"n3"}, nil
}

func (f *fakeRegions) UpdateRegion(_ context.Context, r *xferv1.Region, fields ...string) (*xferv1.Region, error) {
	f.note("update %s %v %v", r.GetName(), r.GetTtl().AsDuration(), fields)
	return r, nil
}

func (f *fakeRegions) DeleteRegion(_ context.Context, name string, force bool) error {
	f.note("delete %s %v", name, force)
	if strings.HasSuffix(name, "busy") {
		return callError(xferv1.Reason_REASON_REGION_BUSY, "region busy: in use")
	}
	if strings.HasSuffix(name, "none") {
		return callError(xferv1.Reason_REASON_REGION_NOT_FOUND, "region none: there is none")
	}
	return nil
}

func (f *fakeRegions) WatchRegion(_ context.Context, name string, after *uint64) iter.Seq2[*xferv1.WatchRegionResponse, error] {
	from := "now"
	if after != nil {
		from = fmt.Sprint(*after)
	}
	f.note("watch %s %s", name, from)
	ready := xferv1.RegionState_REGION_STATE_READY
	return func(yield func(*xferv1.WatchRegionResponse, error) bool) {
		commit := &xferv1.RegionCommit{
			Ranges: []*xferv1.RegionRange{{Offset: 4096, Length: 8192}, {Offset: 1 << 20, Length: 1}}, RangesInexact: true,
			Bytes: 8000, Digest: []byte("0123456789abcdef"), Transfer: "nodes/n2/transfers/t", Principal: "uid:0",
		}
		_ = yield(&xferv1.WatchRegionResponse{Region: aRegion(nil), State: ready, Generation: 7}, nil) &&
			yield(&xferv1.WatchRegionResponse{Time: timestamppb.New(t0), State: ready, Generation: 8, Kind: &xferv1.WatchRegionResponse_Commit{Commit: commit}}, nil) &&
			yield(&xferv1.WatchRegionResponse{Time: timestamppb.New(t0), State: xferv1.RegionState_REGION_STATE_DELETING, Generation: 8,
				Kind: &xferv1.WatchRegionResponse_StateChange{StateChange: &xferv1.RegionStateChange{}}}, nil)
	}
}

func TestRegions(t *testing.T) {
	var all strings.Builder
	for _, c := range []struct {
		line string
		code int
	}{
		{"regions", 5}, {"regions ls --node n2 -o json", 5}, {"regions show n1:@w", 0}, {"regions show -o yaml n1:@w", 0},
		{"regions create n1:@w --size 1GiB", 0},
		{"regions create n1:@w --size 4MiB --huge-pages 2MiB --numa-node 0 --foreign --reader uid:1 --writer * --label a=b --ttl 90s -o json", 0},
		{"regions create n1:@taken --size 4KiB", 2}, {"regions create n1:@w", 2}, {"regions create n1:@w+0,5 --size 1MiB", 2},
		{"regions create /data/w --size 1MiB", 2}, {"regions create n1:@w --size 4096", 2},
		{"regions renew n1:@w n2:@w", 0}, {"regions renew --ttl 2h n1:@w", 0},
		{"regions rm n1:@w", 0}, {"regions rm -f n1:@w n2:@x", 0}, {"regions rm n1:@busy", 10}, {"regions rm n1:@busy n1:@w n1:@none", 5}, {"regions rm n1:@none n2:@none", 3},
		{"regions watch n1:@w", 0}, {"regions watch -q --after 7 n1:@w", 0}, {"regions watch -o yaml n1:@w", 2},
		{"ls n1:@w", 2}, {"stat n1:@w", 2}, {"sync n1:@w n2:/x/", 2},
	} {
		api := &fakeRegions{fake: &fake{}}
		r := (&world{other: api}).run(t, c.line)
		if r.code != c.code {
			t.Errorf("%s: exit code %d, %s", c.line, r.code, r.err)
		}
		all.WriteString("$ xferctl " + c.line + "\n")
		for _, line := range api.asked {
			all.WriteString("> " + line + "\n")
		}
		all.WriteString(r.out + r.err + "\n")
	}
	golden(t, "regions.txt", all.String())
	if strings.Contains(all.String(), "\x1b") {
		t.Error("a name reached the terminal unescaped")
	}
	r := (&world{other: &fakeRegions{fake: &fake{}}}).run(t, "regions watch -o json n1:@w")
	if n := strings.Count(r.out, "\n"); n != 3 || !strings.Contains(r.out, `"event":"commit"`) || strings.Count(r.out, `"time"`) != 3 {
		t.Errorf("events:\n%s", r.out)
	}
}

var _ API = (*client.Client)(nil)
