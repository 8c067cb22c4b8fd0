package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
)

// errSilent ends a call to a node that answers nothing.
var errSilent = errors.New("the node does not answer")

// patiently makes a call that a node has to answer, which may be slow: its disks, or
// a transfer that has to stop. After nodePatience without an answer it is said for whom
// it waits, and the node is asked for something that it can tell at once: where it
// does not, the call ends, and nobody waits for a node that is stopped or cut off.
func patiently[T any](ctx context.Context, a *app, api API, node string, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answered := make(chan struct{})
	watched := make(chan struct{})
	go func() { // ends with the call
		defer close(watched)
		timer := time.NewTimer(nodePatience)
		defer timer.Stop()
		select {
		case <-answered:
			return
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if !a.flags.quiet {
			a.complain("waiting for an answer of " + node)
		}
		probe, stop := context.WithTimeout(ctx, 2*nodePatience) // the server gives it nodePatience
		defer stop()
		n, err := api.GetNode(probe, node)
		if err == nil && !n.GetOwnReport() {
			cancel(errSilent)
		}
	}()
	v, err := call(ctx)
	close(answered)
	if context.Cause(ctx) == errSilent && err != nil {
		err = exit.With(exit.Unavailable, fmt.Errorf("%s does not answer, and what it was asked for may still happen when it does; «xferctl nodes show %s» tells what the others know of it", node, node))
	}
	cancel(nil)
	<-watched
	return v, err
}

// ownerOf is the node in the name of a transfer.
func ownerOf(name string) string {
	owner, _, _ := splitName(name)
	return owner
}

// get is API.Get with patience.
func (a *app) get(ctx context.Context, api API, name string) (*xferv1.Transfer, error) {
	return patiently(ctx, a, api, ownerOf(name), func(ctx context.Context) (*xferv1.Transfer, error) { return api.Get(ctx, name) })
}

// listOf is API.List with patience, where one node is asked.
func (a *app) listOf(ctx context.Context, api API, node string, req *xferv1.ListTransfersRequest) (*client.Listing, error) {
	if node == "" || node == "-" { // the server limits each
		return api.List(ctx, req)
	}
	return patiently(ctx, a, api, node, func(ctx context.Context) (*client.Listing, error) { return api.List(ctx, req) })
}
