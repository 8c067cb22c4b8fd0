package command

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

// submitAndFollow submits a transfer, follows it and says what became of it.
func (f *follower) submitAndFollow(ctx context.Context, req *xferv1.SubmitTransferRequest) error {
	err := f.submitted(ctx, req)
	if e, ok := errors.AsType[*exit.Error](err); err != nil && f.events() && !(ok && e.Err == nil) {
		f.a.event("error", f.a.errorFields(err)...)
	}
	return err
}

func (f *follower) submitted(ctx context.Context, req *xferv1.SubmitTransferRequest) error {
	c, stop := f.a.env.Signals()
	defer stop()
	f.signals = c
	f.name = client.Name(req.GetSpec().GetSourceNode(), req.GetTransferId())
	submitted, err := f.submit(ctx, req)
	if err != nil {
		return err
	}
	f.name, f.known = submitted.GetName(), true
	f.wasOver = submitted.AlreadyExisted && terminal(submitted.GetState())
	f.announce(submitted)
	if f.detach {
		return nil
	}
	t, err := f.follow(ctx)
	if err != nil {
		return err
	}
	if t, err = f.join(ctx, t); err != nil {
		return err
	}
	return f.report(ctx, t)
}

// submit submits, and handles signals until the answer.
func (f *follower) submit(ctx context.Context, req *xferv1.SubmitTransferRequest) (*client.Submitted, error) {
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		t   *client.Submitted
		err error
	}
	results := make(chan result, 1)
	go func() {
		t, err := f.api.Submit(callCtx, req.GetTransferId(), req.GetSpec())
		results <- result{t, err}
	}()
	select {
	case r := <-results:
		return r.t, r.err
	case s := <-f.signals:
		cancel()
		<-results
		return nil, f.interruptedSubmit(ctx, s)
	}
}

// interruptedSubmit: whether the transfer was accepted is not known.
func (f *follower) interruptedSubmit(ctx context.Context, s os.Signal) error {
	if s != os.Interrupt {
		return exit.With(signalCode(s), fmt.Errorf("if the transfer was accepted, it goes on: %s", f.name))
	}
	ctx, cancel := context.WithTimeout(ctx, cancelWait)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := f.api.Cancel(ctx, f.name, false)
		done <- err
	}()
	select {
	case err := <-done:
		if err := f.cancelAnswered(err); err != nil {
			return err
		}
		return f.cancelled("the transfer was cancelled before anything moved")
	case <-f.signals: // once more
		cancel()
		<-done
		return f.cancelled("whether the transfer was accepted is not known")
	}
}

// announce says what was submitted, before it runs.
func (f *follower) announce(t *client.Submitted) {
	a := f.a
	if f.events() {
		fields := []record.Field{{Name: "name", Value: f.name}, {Name: "already_existed", Value: t.AlreadyExisted}, {Name: "dry_run", Value: t.GetSpec().GetDryRun()}}
		if f.mapping != nil {
			fields = append(fields, record.Field{Name: "mapping", Value: mappingRecord(*f.mapping)})
		}
		a.event("submitted", fields...)
		return
	}
	if f.dryRun && f.mapping != nil {
		a.printMapping(*f.mapping)
	}
	switch {
	case f.detach:
		a.outf("%s\n", show.Name(f.name))
	case a.flags.verbose:
		a.errf("%s\n", show.Name(f.name))
	}
	switch {
	case !t.AlreadyExisted:
	case terminal(t.GetState()):
		a.warn("the transfer exists already and is over; an id stands for one transfer, which does not run again: " + f.name)
	default:
		a.warn("the transfer exists already and is followed: " + f.name)
	}
}

func (a *app) printMapping(m place.Mapping) {
	for _, l := range m.Lines(shownPlace) {
		a.outf("%s\n", l)
	}
}

func shownPlace(p place.Place) string { return show.Name(p.String()) }

func mappingRecord(m place.Mapping) []record.Object {
	var out []record.Object
	for _, s := range m.Sources {
		t, contents := m.Target(s), s.Slash
		s.Slash, t.Slash = false, false
		out = append(out, record.Object{
			{Name: "source", Value: shownPlace(s)},
			{Name: "destination", Value: shownPlace(t)},
			{Name: "contents", Value: contents},
		})
	}
	return out
}

func (a *app) errorFields(err error) []record.Field {
	return []record.Field{{Name: "exit_code", Value: codeOf(err)}, {Name: "reason", Value: client.ReasonOf(err)}, {Name: "message", Value: a.errorText(err)}}
}
