package client

import (
	"context"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// plain drops the options of a stub.
func plain[Req, Resp any](method func(context.Context, Req, ...grpc.CallOption) (Resp, error)) func(context.Context, Req) (Resp, error) {
	return func(ctx context.Context, req Req) (Resp, error) { return method(ctx, req) }
}

// Submitted is the answer to Submit.
type Submitted struct {
	*xferv1.Transfer
	// AlreadyExisted: the id was known, and this is that transfer, in whatever
	// state.
	AlreadyExisted bool
}

// Submit submits a transfer and returns when it is durable. id makes the call
// safe to repeat; with "" one is made, which covers the repetitions inside this
// call only.
func (c *Client) Submit(ctx context.Context, id string, spec *xferv1.TransferSpec) (*Submitted, error) {
	if id == "" {
		id = NewID()
	}
	resp, err := call(ctx, plain(c.transfers.SubmitTransfer), &xferv1.SubmitTransferRequest{TransferId: id, Spec: spec})
	if err != nil {
		return nil, err
	}
	return &Submitted{Transfer: resp.GetTransfer(), AlreadyExisted: resp.GetAlreadyExisted()}, nil
}

// Validate checks a spec in full, asks the target as well, and does nothing.
func (c *Client) Validate(ctx context.Context, spec *xferv1.TransferSpec) (*xferv1.Plan, error) {
	resp, err := call(ctx, plain(c.transfers.SubmitTransfer), &xferv1.SubmitTransferRequest{Spec: spec, ValidateOnly: true})
	return resp.GetPlan(), err
}

// Get returns a transfer in full.
func (c *Client) Get(ctx context.Context, name string) (*xferv1.Transfer, error) {
	resp, err := call(ctx, plain(c.transfers.GetTransfer), &xferv1.GetTransferRequest{Name: name})
	return resp.GetTransfer(), err
}

// Listing is what List found.
type Listing struct {
	Transfers []*xferv1.Transfer
	// Unreachable are the nodes whose transfers are missing.
	Unreachable []string
	// WatchToken goes on where the list ends; see WatchOptions.
	WatchToken string
}

// List returns all transfers that the request selects, over all pages. To page
// by hand, use Transfers.
func (c *Client) List(ctx context.Context, req *xferv1.ListTransfersRequest) (*Listing, error) {
	l := &Listing{}
	for token := req.GetPageToken(); ; {
		one := &xferv1.ListTransfersRequest{
			Parent: req.GetParent(), Filter: req.GetFilter(), Incoming: req.GetIncoming(), View: req.GetView(),
			PageSize: req.GetPageSize(), PageToken: token,
		}
		resp, err := call(ctx, plain(c.transfers.ListTransfers), one)
		if err != nil {
			return l, err
		}
		l.Transfers = append(l.Transfers, resp.GetTransfers()...)
		l.Unreachable = append(l.Unreachable, resp.GetUnreachable()...)
		if token = resp.GetNextPageToken(); token == "" {
			l.WatchToken = resp.GetWatchToken()
			return l, nil
		}
	}
}

// Entries returns what became of the entries of a transfer, page by page as they
// are asked for. After an error it ends.
func (c *Client) Entries(ctx context.Context, req *xferv1.ListEntriesRequest) iter.Seq2[*xferv1.EntryResult, error] {
	return func(yield func(*xferv1.EntryResult, error) bool) {
		for token := req.GetPageToken(); ; {
			one := &xferv1.ListEntriesRequest{
				Parent: req.GetParent(), Outcomes: req.GetOutcomes(), LostOnly: req.GetLostOnly(),
				PageSize: req.GetPageSize(), PageToken: token,
			}
			resp, err := call(ctx, plain(c.transfers.ListEntries), one)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range resp.GetEntries() {
				if !yield(e, nil) {
					return
				}
			}
			if token = resp.GetNextPageToken(); token == "" {
				return
			}
		}
	}
}

// Wait returns when the transfer is over, whatever became of it (see
// TransferError), or ctx ends, or nothing answered for Options.Patience. It never
// cancels the transfer.
func (c *Client) Wait(ctx context.Context, name string) (*xferv1.Transfer, error) {
	silence := outage{patience: c.patience}
	for {
		resp, err := c.transfers.WaitTransfer(ctx, &xferv1.WaitTransferRequest{Name: name})
		if err != nil {
			if err := silence.wait(ctx, AsError(err)); err != nil {
				return nil, err
			}
			continue
		}
		silence.over()
		if t := resp.GetTransfer(); Over(t) {
			return t, nil
		}
	}
}

// WaitFor is Wait that answers after d at the latest, with the transfer as it is
// then; d is at most 25 seconds.
func (c *Client) WaitFor(ctx context.Context, name string, d time.Duration) (*xferv1.Transfer, error) {
	resp, err := call(ctx, plain(c.transfers.WaitTransfer), &xferv1.WaitTransferRequest{Name: name, Timeout: durationpb.New(d)})
	return resp.GetTransfer(), err
}

// Cancel asks for the end of a transfer; purge drops its partial files as well.
// Wait for it to be over.
func (c *Client) Cancel(ctx context.Context, name string, purge bool) (*xferv1.Transfer, error) {
	resp, err := call(ctx, plain(c.transfers.CancelTransfer), &xferv1.CancelTransferRequest{Name: name, Purge: purge})
	return resp.GetTransfer(), err
}

// Pause stops a transfer until Resume.
func (c *Client) Pause(ctx context.Context, name string) (*xferv1.Transfer, error) {
	resp, err := call(ctx, plain(c.transfers.PauseTransfer), &xferv1.PauseTransferRequest{Name: name})
	return resp.GetTransfer(), err
}

// Resume queues a paused transfer again.
func (c *Client) Resume(ctx context.Context, name string) (*xferv1.Transfer, error) {
	resp, err := call(ctx, plain(c.transfers.ResumeTransfer), &xferv1.ResumeTransferRequest{Name: name})
	return resp.GetTransfer(), err
}

// Retry submits the spec of a transfer that is over again, as a new one. id is as
// for Submit.
func (c *Client) Retry(ctx context.Context, name, id string) (*Submitted, error) {
	if id == "" {
		id = NewID()
	}
	resp, err := call(ctx, plain(c.transfers.RetryTransfer), &xferv1.RetryTransferRequest{Name: name, TransferId: id})
	if err != nil {
		return nil, err
	}
	return &Submitted{Transfer: resp.GetTransfer(), AlreadyExisted: resp.GetAlreadyExisted()}, nil
}

// Abandon frees what a target holds for a transfer whose owner is lost.
func (c *Client) Abandon(ctx context.Context, target, name string) error {
	_, err := call(ctx, plain(c.transfers.AbandonTransfer), &xferv1.AbandonTransferRequest{
		Parent: NodeName(target), Transfer: &xferv1.AbandonTransferRequest_Name{Name: name},
	})
	return err
}

// AbandonUID is Abandon by uid, for a name that was used again.
func (c *Client) AbandonUID(ctx context.Context, target, uid string) error {
	_, err := call(ctx, plain(c.transfers.AbandonTransfer), &xferv1.AbandonTransferRequest{
		Parent: NodeName(target), Transfer: &xferv1.AbandonTransferRequest_Uid{Uid: uid},
	})
	return err
}

// Change is what Update changes. What is nil stays.
type Change struct {
	Priority          *xferv1.Priority
	MaxBytesPerSecond *int64     // 0: no limit
	Deadline          *time.Time // zero: none
	Labels            *map[string]string
}

// Update changes a transfer that is not over; labels can be changed always.
func (c *Client) Update(ctx context.Context, name string, change Change) (*xferv1.Transfer, error) {
	spec, mask := &xferv1.TransferSpec{}, &fieldmaskpb.FieldMask{}
	if p := change.Priority; p != nil {
		spec.Priority = *p
		mask.Paths = append(mask.Paths, "spec.priority")
	}
	if r := change.MaxBytesPerSecond; r != nil {
		if *r != 0 {
			spec.MaxBytesPerSecond = r
		}
		mask.Paths = append(mask.Paths, "spec.max_bytes_per_second")
	}
	if d := change.Deadline; d != nil {
		if !d.IsZero() {
			spec.Deadline = timestamppb.New(*d)
		}
		mask.Paths = append(mask.Paths, "spec.deadline")
	}
	if l := change.Labels; l != nil {
		spec.Labels = *l
		mask.Paths = append(mask.Paths, "spec.labels")
	}
	resp, err := call(ctx, plain(c.transfers.UpdateTransfer), &xferv1.UpdateTransferRequest{
		Transfer: &xferv1.Transfer{Name: name, Spec: spec}, UpdateMask: mask,
	})
	return resp.GetTransfer(), err
}
