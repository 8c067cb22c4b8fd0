package command

import (
	"context"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

func (f *fake) FinishPosts(_ context.Context, name string) (*xferv1.Transfer, error) {
	f.called("finish " + name)
	return &xferv1.Transfer{Name: name, State: xferv1.State_STATE_RUNNING}, f.steerErr[name]
}

// A prepared transfer shows what was posted, and is finished by its name.
func TestPreparedTransfers(t *testing.T) {
	prepared := transfer(func(t *xferv1.Transfer) {
		t.State = xferv1.State_STATE_RUNNING
		t.Spec = &xferv1.TransferSpec{
			SourceNode: "n1", Sources: []*xferv1.Source{client.RegionSource("a", 0, -1)}, TargetNode: "n2", Destination: client.RegionDestination("b", 0), Prepared: true,
		}
		t.Posts = &xferv1.PostCounters{Done: 12, Failed: 1, PerSecond: 3.25, LastTime: timestamppb.New(t0)}
		t.Generation = new(uint64(40))
	})
	w := &world{api: &fake{full: prepared}}
	r := w.run(t, "transfers show n1/new")
	for _, want := range []string{"posts: ", "12 committed, 1 failed, 3.2 a second, the last at ", "generation 40", "n2:@b written, generation 40", "in all posts"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("lacks %q:\n%s", want, r.out)
		}
	}
	prepared.Posts, prepared.Generation = nil, nil
	if r := w.run(t, "transfers show n1/new"); !strings.Contains(r.out, "0 committed") || !strings.Contains(r.out, "n2:@b not written by a post") {
		t.Errorf("%s", r.out)
	}
	if r := w.run(t, "transfers finish n1/new n1/other"); r.code != 0 || !slices.Contains(w.api.calls, "finish nodes/n1/transfers/other") {
		t.Errorf("%+v, calls %q", r, w.api.calls)
	}
}
