package command

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
)

// API is what the commands need of a server; [client.Client] is one. Errors are
// *client.Error.
type API interface {
	Submit(ctx context.Context, id string, spec *xferv1.TransferSpec) (*client.Submitted, error)
	Validate(ctx context.Context, spec *xferv1.TransferSpec) (*xferv1.Plan, error)
	Get(ctx context.Context, name string) (*xferv1.Transfer, error)
	List(ctx context.Context, req *xferv1.ListTransfersRequest) (*client.Listing, error)
	Entries(ctx context.Context, req *xferv1.ListEntriesRequest) iter.Seq2[*xferv1.EntryResult, error]
	Watch(ctx context.Context, o client.WatchOptions) iter.Seq2[client.Event, error]
	WaitFor(ctx context.Context, name string, d time.Duration) (*xferv1.Transfer, error)
	Cancel(ctx context.Context, name string, purge bool) (*xferv1.Transfer, error)
	Pause(ctx context.Context, name string) (*xferv1.Transfer, error)
	Resume(ctx context.Context, name string) (*xferv1.Transfer, error)
	FinishPosts(ctx context.Context, name string) (*xferv1.Transfer, error)
	Retry(ctx context.Context, name, id string) (*client.Submitted, error)
	Abandon(ctx context.Context, target, name string) error
	AbandonUID(ctx context.Context, target, uid string) error

	ListNodes(ctx context.Context) ([]*xferv1.Node, error)
	GetNode(ctx context.Context, id string, routeTo ...string) (*xferv1.Node, error)
	Drain(ctx context.Context, id string) (*xferv1.Node, error)
	Undrain(ctx context.Context, id string) (*xferv1.Node, error)
	Files(ctx context.Context, node, path string) iter.Seq2[*xferv1.File, error]
	Stat(ctx context.Context, node, path string, follow bool) (*xferv1.File, error)

	CreateRegion(ctx context.Context, node, id string, r *xferv1.Region) (*xferv1.Region, error)
	GetRegion(ctx context.Context, name string) (*xferv1.Region, error)
	ListRegions(ctx context.Context, parent string) (list []*xferv1.Region, unreachable []string, err error)
	UpdateRegion(ctx context.Context, r *xferv1.Region, fields ...string) (*xferv1.Region, error)
	DeleteRegion(ctx context.Context, name string, force bool) error
	WatchRegion(ctx context.Context, name string, after *uint64) iter.Seq2[*xferv1.WatchRegionResponse, error]

	Close() error
}

// isCall reports whether an error came from a call.
func isCall(err error) bool {
	_, ok := errors.AsType[*client.Error](err)
	return ok
}

// is reports whether a call failed for that reason.
func is(err error, reason xferv1.Reason) bool {
	return err != nil && client.ReasonOf(err) == reason.Name()
}

// lost reports whether no node answered a call, so that nothing is known of it.
func lost(err error) bool {
	e := client.AsError(err)
	return e != nil && e.Reason == "" && e.Code == codes.Unavailable
}

// shut reports whether the caller may not connect to the socket of the server.
func shut(err error) bool { return lost(err) && client.ExitCode(err) == exit.Permission }

// errorText is the message of an error for people. What gRPC says of a server
// that is not there is made short.
func (a *app) errorText(err error) string {
	text := err.Error()
	if !lost(err) {
		if a.typed != nil && isCall(err) { // fields of the request say nothing to who typed none
			for _, f := range client.AsError(err).Fields {
				text = strings.Replace(text, f.Name+": ", "", 1)
			}
		}
		return text
	}
	const noise = "transport: Error while dialing: "
	if i := strings.LastIndex(text, noise); i >= 0 {
		text = strings.Trim(text[i+len(noise):], `"`)
	}
	if strings.Contains(text, "server preface") || strings.Contains(text, "deadline exceeded") { // it listens, and does no more
		return "xferd at " + a.set.Server + " takes connections and answers nothing within 5 s: is it stopped, or its host overloaded? --server names another"
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, `connection error: desc = "`), `"`)
	if shut(err) {
		return "xferd at " + a.set.Server + ": " + text + "; its socket is for root, the user that xferd runs as, and the socket's group"
	}
	return "xferd at " + a.set.Server + " does not answer: " + text + "; is it running? --server names another"
}

// codeOf is the exit code of an error, by its reason where it has one.
func codeOf(err error) int {
	code := exit.CodeOf(err)
	if code == exit.Failed && isCall(err) {
		return client.ExitCode(err)
	}
	return code
}
