package command

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/bubble"
)

// frozen is a cluster one of whose nodes, n2, takes calls and answers none.
type frozen struct {
	*fake
	has []string // names of transfers
}

func (f *frozen) Get(ctx context.Context, name string) (*xferv1.Transfer, error) {
	if err := hang(ctx, ownerOf(name)); err != nil {
		return nil, err
	}
	if slices.Contains(f.has, name) {
		return transfer(func(t *xferv1.Transfer) { t.Name = name }), nil
	}
	return nil, callError(xferv1.Reason_REASON_TRANSFER_NOT_FOUND, "no transfer "+name)
}

func hang(ctx context.Context, node string) error {
	if node != "n2" {
		return nil
	}
	<-ctx.Done()
	return client.AsError(ctx.Err())
}

func (f *frozen) Cancel(ctx context.Context, name string, purge bool) (*xferv1.Transfer, error) {
	if err := hang(ctx, ownerOf(name)); err != nil {
		return nil, err
	}
	return f.fake.Cancel(ctx, name, purge)
}

func (f *frozen) List(ctx context.Context, req *xferv1.ListTransfersRequest) (*client.Listing, error) {
	return nil, hang(ctx, strings.TrimPrefix(req.GetParent(), "nodes/"))
}

func (f *frozen) Files(ctx context.Context, node, _ string) iter.Seq2[*xferv1.File, error] {
	return func(yield func(*xferv1.File, error) bool) { yield(nil, hang(ctx, node)) }
}

func (f *frozen) GetNode(ctx context.Context, id string, _ ...string) (*xferv1.Node, error) {
	time.Sleep(nodePatience) // what the daemon gives a node
	return &xferv1.Node{Name: client.NodeName(id)}, nil
}

// TestFrozenNode: a node that answers nothing delays by seconds what concerns others,
// and what it has to answer itself ends as soon.
func TestFrozenNode(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ns := nodes()[:2]
		ns = append(ns, &xferv1.Node{Name: "nodes/n3", State: xferv1.NodeState_NODE_STATE_ALIVE}, &xferv1.Node{Name: "nodes/n4", State: xferv1.NodeState_NODE_STATE_LEFT})
		for _, c := range []struct {
			line, want string
			code       int
			within     time.Duration
		}{
			{"transfers show own", "nodes/n1/transfers/own", 0, 0},
			{"transfers show n1/own", "nodes/n1/transfers/own", 0, 0},
			{"transfers cancel own", "n2 did not answer, so n1/own of the node that was asked is meant", 0, nodePatience},
			{"transfers show far", "nodes/n3/transfers/far", 0, nodePatience},
			{"transfers cancel far", "give the whole name", 10, nodePatience},
			{"transfers cancel n3/far", "CANCELLING", 0, 0},
			{"transfers show gone", `no transfer "gone" was found, but n2, n4 did not answer`, 10, nodePatience},
			{"transfers wait --timeout 1s gone", "was not found within 1s", 75, time.Second},
			{"transfers show n2/x", "waiting for an answer of n2\nxferctl: n2 does not answer", 10, 2 * nodePatience},
			{"transfers cancel n2/x", "n2 does not answer", 10, 2 * nodePatience},
			{"transfers ls --incoming --node n2", "n2 does not answer", 10, 2 * nodePatience},
			{"ls n2:/", "n2 does not answer", 10, 2 * nodePatience},
		} {
			w := &world{other: &frozen{fake: &fake{nodes: ns}, has: []string{"nodes/n1/transfers/own", "nodes/n3/transfers/far"}}}
			start := time.Now()
			r := w.run(t, c.line)
			if took := time.Since(start); r.code != c.code || took > c.within || !strings.Contains(r.out+r.err, c.want) {
				t.Errorf("%s: after %v, at most %v with %q: %+v", c.line, took, c.within, c.want, r)
			}
		}
	})
}
