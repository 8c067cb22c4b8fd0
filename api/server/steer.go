package server

import (
	"context"
	"slices"
	"time"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// The handlers that change transfers.

func (s *transferService) CancelTransfer(ctx context.Context, req *xferv1.CancelTransferRequest) (*xferv1.CancelTransferResponse, error) {
	owner, id, err := parseName("name", req.GetName())
	if err != nil {
		return nil, err
	}
	if resp, err := elsewhere(s.Server, ctx, owner, xferv1.NewTransferServiceClient, xferv1.TransferServiceClient.CancelTransfer, req); resp != nil || err != nil {
		return resp, err
	}
	if _, err := s.visible(ctx, id); err != nil {
		return nil, err
	}
	t, err := s.cfg.Engine.Cancel(ctx, id, req.GetPurge(), callOf(ctx).Principal)
	if err != nil {
		return nil, err
	}
	return &xferv1.CancelTransferResponse{Transfer: transferOut(&t, true)}, nil
}

func (s *transferService) PauseTransfer(ctx context.Context, req *xferv1.PauseTransferRequest) (*xferv1.PauseTransferResponse, error) {
	owner, id, err := parseName("name", req.GetName())
	if err != nil {
		return nil, err
	}
	if resp, err := elsewhere(s.Server, ctx, owner, xferv1.NewTransferServiceClient, xferv1.TransferServiceClient.PauseTransfer, req); resp != nil || err != nil {
		return resp, err
	}
	if _, err := s.visible(ctx, id); err != nil {
		return nil, err
	}
	t, err := s.cfg.Engine.Pause(ctx, id)
	if err != nil {
		return nil, err
	}
	return &xferv1.PauseTransferResponse{Transfer: transferOut(&t, true)}, nil
}

func (s *transferService) ResumeTransfer(ctx context.Context, req *xferv1.ResumeTransferRequest) (*xferv1.ResumeTransferResponse, error) {
	owner, id, err := parseName("name", req.GetName())
	if err != nil {
		return nil, err
	}
	if resp, err := elsewhere(s.Server, ctx, owner, xferv1.NewTransferServiceClient, xferv1.TransferServiceClient.ResumeTransfer, req); resp != nil || err != nil {
		return resp, err
	}
	if _, err := s.visible(ctx, id); err != nil {
		return nil, err
	}
	t, err := s.cfg.Engine.Resume(ctx, id)
	if err != nil {
		return nil, err
	}
	return &xferv1.ResumeTransferResponse{Transfer: transferOut(&t, true)}, nil
}

func (s *transferService) RetryTransfer(ctx context.Context, req *xferv1.RetryTransferRequest) (*xferv1.RetryTransferResponse, error) {
	owner, id, err := parseName("name", req.GetName())
	if err != nil {
		return nil, err
	}
	if fresh := req.GetTransferId(); fresh == "" {
		req.TransferId = newID()
	} else if !transfer.CheckID(fresh) {
		return nil, badID(fresh)
	}
	if req.GetTransferId() == id {
		return nil, invalid("transfer_id", "it is that of the transfer to retry")
	}
	if resp, err := elsewhere(s.Server, ctx, owner, xferv1.NewTransferServiceClient, xferv1.TransferServiceClient.RetryTransfer, req); resp != nil || err != nil {
		return resp, err
	}
	old, err := s.visible(ctx, id)
	if err != nil {
		return nil, err
	}
	c := callOf(ctx)
	if err := s.mayRead(ctx, c.Caller, &old.Spec); err != nil { // the rules may be others now
		return nil, err
	}
	if old.Spec.Priority == transfer.PrioritySystem {
		if err := s.admin(ctx, "submit with PRIORITY_SYSTEM"); err != nil {
			return nil, err
		}
	}
	t, existed, err := s.cfg.Engine.Retry(ctx, id, req.GetTransferId(), c.Principal)
	if err != nil {
		return nil, err
	}
	return &xferv1.RetryTransferResponse{Transfer: transferOut(&t, true), AlreadyExisted: existed}, nil
}

func (s *transferService) AbandonTransfer(ctx context.Context, req *xferv1.AbandonTransferRequest) (*xferv1.AbandonTransferResponse, error) {
	target, err := parseNode("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	var ref IncomingRef
	switch which := req.GetTransfer().(type) {
	case *xferv1.AbandonTransferRequest_Uid:
		if len(which.Uid) != 2*len(ref.UID) || ref.UID.UnmarshalText([]byte(which.Uid)) != nil || ref.UID == (transfer.UID{}) {
			return nil, invalid("uid", "%.100q is not %d hex digits", which.Uid, 2*len(ref.UID))
		}
	case *xferv1.AbandonTransferRequest_Name:
		if ref.Owner, ref.ID, err = parseName("name", which.Name); err != nil {
			return nil, err
		}
	default:
		return nil, invalid("transfer", "it is missing")
	}
	if resp, err := elsewhere(s.Server, ctx, target, xferv1.NewTransferServiceClient, xferv1.TransferServiceClient.AbandonTransfer, req); resp != nil || err != nil {
		return resp, err
	}
	if err := s.admin(ctx, "abandon transfers"); err != nil {
		return nil, err
	}
	t, err := s.cfg.Engine.Incoming(ctx, ref)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Engine.Abandon(ctx, t.UID); err != nil {
		return nil, err
	}
	return &xferv1.AbandonTransferResponse{}, nil
}

// updatable are the paths of an update mask.
var updatable = []string{"spec.priority", "spec.max_bytes_per_second", "spec.deadline", "spec.labels"}

func (s *transferService) UpdateTransfer(ctx context.Context, req *xferv1.UpdateTransferRequest) (*xferv1.UpdateTransferResponse, error) {
	owner, id, err := parseName("transfer.name", req.GetTransfer().GetName())
	if err != nil {
		return nil, err
	}
	u, err := updateIn(req)
	if err != nil {
		return nil, err
	}
	if resp, err := elsewhere(s.Server, ctx, owner, xferv1.NewTransferServiceClient, xferv1.TransferServiceClient.UpdateTransfer, req); resp != nil || err != nil {
		return resp, err
	}
	if _, err := s.visible(ctx, id); err != nil {
		return nil, err
	}
	if u.Priority != nil && *u.Priority == transfer.PrioritySystem {
		if err := s.admin(ctx, "set PRIORITY_SYSTEM"); err != nil {
			return nil, err
		}
	}
	if u.Deadline != nil && !u.Deadline.IsZero() && time.Until(*u.Deadline) <= 0 {
		return nil, pastDeadline(*u.Deadline)
	}
	t, err := s.cfg.Engine.Update(ctx, id, u)
	if err != nil {
		return nil, err
	}
	return &xferv1.UpdateTransferResponse{Transfer: transferOut(&t, true)}, nil
}

func updateIn(req *xferv1.UpdateTransferRequest) (transfer.Update, error) {
	var u transfer.Update
	spec, paths := req.GetTransfer().GetSpec(), req.GetUpdateMask().GetPaths()
	if len(paths) == 0 {
		return u, invalid("update_mask", "it is missing; it may name %v", updatable)
	}
	for _, p := range paths {
		if !slices.Contains(updatable, p) {
			return u, invalid("update_mask", "%.100q can not be changed; these can: %v", p, updatable)
		}
		switch p {
		case "spec.priority":
			v, err := priorities.in(p, spec.GetPriority())
			if err != nil {
				return u, err
			}
			u.Priority = &v
		case "spec.max_bytes_per_second":
			var asked *int64
			if spec != nil {
				asked = spec.MaxBytesPerSecond
			}
			v, err := rateIn(p, asked)
			if err != nil {
				return u, err
			}
			u.MaxRate = &v
		case "spec.deadline":
			v, err := deadlineIn(p, spec.GetDeadline())
			if err != nil {
				return u, err
			}
			u.Deadline = &v
		case "spec.labels":
			v, err := labelsIn(p, spec.GetLabels())
			if err != nil {
				return u, err
			}
			u.Labels = &v
		}
	}
	return u, nil
}
