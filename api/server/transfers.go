package server

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// transferService has the handlers of TransferService.
type transferService struct {
	xferv1.UnimplementedTransferServiceServer
	*Server
}

func (s *transferService) SubmitTransfer(ctx context.Context, req *xferv1.SubmitTransferRequest) (*xferv1.SubmitTransferResponse, error) {
	if id := req.GetTransferId(); id == "" {
		// Made here, so that the hop to the owner can be repeated.
		req.TransferId = newID()
	} else if !transfer.CheckID(id) {
		return nil, badID(id)
	}
	spec, err := specIn(req.GetSpec())
	if err != nil {
		return nil, err
	}
	if resp, err := elsewhere(s.Server, ctx, spec.Source, xferv1.NewTransferServiceClient, xferv1.TransferServiceClient.SubmitTransfer, req); resp != nil || err != nil {
		return resp, unknownSource(err)
	}

	c := callOf(ctx)
	spec.Principal = c.Principal
	if err := s.mayRead(ctx, c.Caller, &spec); err != nil {
		return nil, err
	}
	if spec.Priority == transfer.PrioritySystem {
		if err := s.admin(ctx, "submit with PRIORITY_SYSTEM"); err != nil {
			return nil, err
		}
	}
	sub := transfer.Submission{ID: req.GetTransferId(), Spec: spec, Same: sameHash(req.GetSpec(), c.Principal)}
	if err := s.inTime(ctx, &sub, req.GetValidateOnly()); err != nil {
		return nil, err
	}
	if req.GetValidateOnly() {
		plan, err := s.cfg.Engine.Validate(ctx, sub)
		if err != nil {
			return nil, err
		}
		return &xferv1.SubmitTransferResponse{Plan: planOut(&plan)}, nil
	}
	t, existed, err := s.cfg.Engine.Submit(ctx, sub)
	if err != nil {
		return nil, err
	}
	return &xferv1.SubmitTransferResponse{Transfer: transferOut(&t, true), AlreadyExisted: existed}, nil
}

// mayRead asks the guard for everything that the spec reads here.
func (s *Server) mayRead(ctx context.Context, c Caller, spec *transfer.Spec) error {
	asked := map[string]bool{} // pieces name few files many times
	ask := func(p string) error {
		if _, ok := transfer.RegionOf(p); ok || asked[p] {
			return nil // a region has its own readers
		}
		asked[p] = true
		return s.cfg.Guard.Path(ctx, c, p, false)
	}
	for _, src := range spec.Sources {
		if err := ask(src.Path); err != nil {
			return err
		}
	}
	for _, p := range spec.Pieces {
		if err := ask(p.Path); err != nil {
			return err
		}
	}
	return nil
}

// inTime refuses a deadline in the past, unless the transfer exists already.
func (s *Server) inTime(ctx context.Context, sub *transfer.Submission, validate bool) error {
	if sub.Spec.Deadline.IsZero() || time.Until(sub.Spec.Deadline) > 0 {
		return nil
	}
	if !validate {
		if _, err := s.cfg.Engine.Get(ctx, sub.ID); err == nil {
			return nil
		}
	}
	return pastDeadline(sub.Spec.Deadline)
}

func pastDeadline(d time.Time) error {
	return refuse(transfer.DeadlineExceeded, "spec.deadline", "%s has passed", d.UTC().Format(time.RFC3339))
}

func badID(id string) error {
	return invalid("transfer_id", "%.200q is not valid: 1 to %d letters, digits and . _ : + ~ -, the first a letter or digit", id, transfer.MaxIDLength)
}

// newID makes an id for a caller that gave none.
func newID() string {
	u := transfer.NewUID()
	return hex.EncodeToString(u[:])
}

func (s *transferService) GetTransfer(ctx context.Context, req *xferv1.GetTransferRequest) (*xferv1.GetTransferResponse, error) {
	owner, id, err := parseName("name", req.GetName())
	if err != nil {
		return nil, err
	}
	if resp, err := elsewhere(s.Server, ctx, owner, xferv1.NewTransferServiceClient, xferv1.TransferServiceClient.GetTransfer, req); resp != nil || err != nil {
		return resp, err
	}
	t, err := s.visible(ctx, id)
	if err != nil {
		return nil, err
	}
	return &xferv1.GetTransferResponse{Transfer: transferOut(&t, true)}, nil
}

// visible returns a transfer that the caller may know of. To others there is no
// such transfer: that it exists is told to nobody.
func (s *Server) visible(ctx context.Context, id string) (transfer.Transfer, error) {
	t, err := s.cfg.Engine.Get(ctx, id)
	if err != nil {
		return transfer.Transfer{}, err
	}
	if c := callOf(ctx); !c.sees(&t) {
		return transfer.Transfer{}, s.notFound(transfer.Name(s.cfg.Self, id))
	}
	return t, nil
}

func (s *Server) notFound(name string) error {
	return &transfer.Error{
		Reason: transfer.TransferNotFound, Side: transfer.SideOwner, Node: s.cfg.Self,
		Err: errors.New("there is no transfer " + name),
	}
}

func (s *transferService) WaitTransfer(ctx context.Context, req *xferv1.WaitTransferRequest) (*xferv1.WaitTransferResponse, error) {
	owner, id, err := parseName("name", req.GetName())
	if err != nil {
		return nil, err
	}
	timeout := waitTimeout
	if d := req.GetTimeout(); d != nil {
		if d.CheckValid() != nil || d.AsDuration() < 0 {
			return nil, invalid("timeout", "it is negative, or no duration at all")
		}
		timeout = min(timeout, d.AsDuration())
	}
	if resp, err := elsewhere(s.Server, ctx, owner, xferv1.NewTransferServiceClient, xferv1.TransferServiceClient.WaitTransfer, req); resp != nil || err != nil {
		return resp, err
	}
	if _, err := s.visible(ctx, id); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer context.AfterFunc(s.stopped, cancel)()
	t, err := s.cfg.Engine.Wait(wait, id)
	if err != nil {
		return nil, err
	}
	if s.stopped.Err() != nil && !t.State.Terminal() {
		return nil, s.stopping()
	}
	return &xferv1.WaitTransferResponse{Transfer: transferOut(&t, true)}, nil
}

func (s *transferService) ListEntries(ctx context.Context, req *xferv1.ListEntriesRequest) (*xferv1.ListEntriesResponse, error) {
	owner, id, err := parseName("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(req.GetPageSize(), defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	q := transfer.EntryQuery{Lost: req.GetLostOnly()}
	for _, o := range req.GetOutcomes() {
		outcome, err := outcomes.exact("outcomes", o)
		if err != nil {
			return nil, err
		}
		q.Outcomes = append(q.Outcomes, outcome)
	}
	if resp, err := elsewhere(s.Server, ctx, owner, xferv1.NewTransferServiceClient, xferv1.TransferServiceClient.ListEntries, req); resp != nil || err != nil {
		return resp, err
	}
	t, err := s.visible(ctx, id)
	if err != nil {
		return nil, err
	}
	// The uid: an id that is used again later names other entries.
	hash := requestHash(req, callOf(ctx).Principal+"\x00"+t.UID.String())
	var after uint64
	if req.GetPageToken() != "" {
		tok, err := parseToken("page_token", req.GetPageToken(), tokenEntries, hash)
		if err != nil {
			return nil, err
		}
		after = tok.number
	}
	results, next, err := s.cfg.Engine.Entries(ctx, id, q, after, limit)
	if err != nil {
		return nil, err
	}
	resp := &xferv1.ListEntriesResponse{}
	for i := range results {
		resp.Entries = append(resp.Entries, resultOut(&results[i]))
	}
	if next != 0 {
		resp.NextPageToken = (&token{kind: tokenEntries, request: hash, number: next}).String()
	}
	return resp, nil
}
