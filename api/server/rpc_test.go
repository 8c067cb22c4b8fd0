package server

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

func wantReason(t *testing.T, what string, err error, want transfer.Reason) {
	t.Helper()
	if got := reasonOf(err); err == nil || got != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

func submit(id string) *xferv1.SubmitTransferRequest {
	return &xferv1.SubmitTransferRequest{TransferId: id, Spec: goodSpec()}
}

func TestP4SubmitTwiceIsOneTransfer(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	ctx := as(t, "ann")
	first, err := n.transfers().SubmitTransfer(ctx, submit("job-1"))
	if err != nil {
		t.Fatal(err)
	}
	if first.GetTransfer().GetName() != "nodes/n1/transfers/job-1" || first.GetAlreadyExisted() || first.GetTransfer().GetPrincipal() != "ann" {
		t.Errorf("submitted %v", first)
	}
	second, err := n.transfers().SubmitTransfer(ctx, submit("job-1"))
	if err != nil || !second.GetAlreadyExisted() || second.GetTransfer().GetUid() != first.GetTransfer().GetUid() {
		t.Errorf("again: %v, %v", second, err)
	}
	other := submit("job-1")
	dest(other.Spec, "/data/else")
	_, err = n.transfers().SubmitTransfer(ctx, other)
	wantReason(t, "another spec", err, transfer.RequestIDReused)
	_, err = n.transfers().SubmitTransfer(as(t, "bob"), submit("job-1"))
	wantReason(t, "another principal", err, transfer.RequestIDReused)
	made, err := n.transfers().SubmitTransfer(ctx, submit(""))
	if err != nil || !strings.HasPrefix(made.GetTransfer().GetName(), "nodes/n1/transfers/") {
		t.Errorf("without an id: %v, %v", made, err)
	}
}

func TestSubmitRefusals(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	n.engine.plan = transfer.Plan{Transport: "tcp", Reason: "NOT_BUILT", Resolved: "/data/b", FreeBytes: 9}
	ctx := as(t, "ann")
	for _, id := range []string{" ", "-a", "a b", "a/b", strings.Repeat("a", 129), "ä", "a\x00"} {
		_, err := n.transfers().SubmitTransfer(ctx, submit(id))
		wantReason(t, id, err, transfer.InvalidSpec)
	}
	if _, err := n.transfers().SubmitTransfer(ctx, submit(strings.Repeat("1", 1<<20))); reasonOf(err) != transfer.InvalidSpec {
		t.Errorf("an id of 1 MiB: %v", err)
	}
	if _, err := n.transfers().SubmitTransfer(ctx, submit("Az0._:+~-")); err != nil {
		t.Errorf("a good id: %v", err)
	}

	past := submit("late")
	past.Spec.Deadline = timestamppb.New(time.Now().Add(-time.Minute))
	_, err := n.transfers().SubmitTransfer(ctx, past)
	wantReason(t, "a deadline in the past", err, transfer.DeadlineExceeded)
	past.Spec.Deadline = timestamppb.New(time.Now().Add(time.Hour))
	if _, err := n.transfers().SubmitTransfer(ctx, past); err != nil {
		t.Fatal(err)
	}
	past.Spec.Deadline = timestamppb.New(time.Now().Add(-time.Minute))
	if again, err := n.transfers().SubmitTransfer(ctx, past); err != nil || !again.GetAlreadyExisted() {
		t.Errorf("repeated after its deadline: %v, %v", again, err)
	}

	secret := submit("s")
	sources(secret.Spec, "/secret")
	_, err = n.transfers().SubmitTransfer(ctx, secret)
	wantReason(t, "a path that is not allowed", err, transfer.PathNotAllowed)
	if info, _, _ := details(t, err); info.GetMetadata()["hint"] != "exports: /data" || info.GetMetadata()["path"] != "/secret" {
		t.Errorf("its details are %v", info)
	}
	system := submit("sys")
	system.Spec.Priority = xferv1.Priority_PRIORITY_SYSTEM
	_, err = n.transfers().SubmitTransfer(ctx, system)
	wantReason(t, "the system's priority", err, transfer.PermissionDenied)
	if _, err := n.transfers().SubmitTransfer(as(t, "root"), system); err != nil {
		t.Error(err)
	}

	check := submit("plan")
	check.ValidateOnly = true
	resp, err := n.transfers().SubmitTransfer(ctx, check)
	if err != nil || resp.GetTransfer() != nil || resp.GetPlan().GetReason() != "NOT_BUILT" || string(resp.GetPlan().GetResolvedDestination()) != "/data/b" {
		t.Errorf("validated: %v, %v", resp, err)
	}
	_, err = n.transfers().GetTransfer(ctx, &xferv1.GetTransferRequest{Name: "nodes/n1/transfers/plan"})
	wantReason(t, "what was only validated", err, transfer.TransferNotFound)
}

func TestSizeOfRequests(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	big := submit("big")
	for range 60000 { // 15 MB
		big.Spec.FilesFrom = append(big.Spec.FilesFrom, []byte(strings.Repeat("x", 250)))
	}
	if _, err := n.transfers().SubmitTransfer(as(t, "ann"), big); err != nil {
		t.Errorf("15 MB: %v", err)
	}
	for range 10000 {
		big.Spec.FilesFrom = append(big.Spec.FilesFrom, []byte(strings.Repeat("x", 250)))
	}
	if _, err := n.transfers().SubmitTransfer(as(t, "ann"), big); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("17.5 MB: %v", err)
	}
	list, err := n.transfers().ListTransfers(as(t, "ann"), &xferv1.ListTransfersRequest{Parent: "nodes/n1"})
	if err != nil || len(list.GetTransfers()) != 1 || len(list.GetTransfers()[0].GetSpec().GetFilesFrom()) != 0 {
		t.Errorf("the basic view has the list of files (%v)", err)
	}
}

// TestSteering makes each call that changes a transfer, as its owner, as
// somebody else and with names that are not valid.
func TestSteering(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	c, ann := n.transfers(), as(t, "ann")
	n.engine.add("a", "ann")
	calls := map[string]func(who string, name string) (*xferv1.Transfer, error){
		"get": func(who, name string) (*xferv1.Transfer, error) {
			r, err := c.GetTransfer(as(t, who), &xferv1.GetTransferRequest{Name: name})
			return r.GetTransfer(), err
		},
		"wait": func(who, name string) (*xferv1.Transfer, error) {
			r, err := c.WaitTransfer(as(t, who), &xferv1.WaitTransferRequest{Name: name, Timeout: durationpb.New(0)})
			return r.GetTransfer(), err
		},
		"pause": func(who, name string) (*xferv1.Transfer, error) {
			r, err := c.PauseTransfer(as(t, who), &xferv1.PauseTransferRequest{Name: name})
			return r.GetTransfer(), err
		},
		"resume": func(who, name string) (*xferv1.Transfer, error) {
			r, err := c.ResumeTransfer(as(t, who), &xferv1.ResumeTransferRequest{Name: name})
			return r.GetTransfer(), err
		},
		"update": func(who, name string) (*xferv1.Transfer, error) {
			r, err := c.UpdateTransfer(as(t, who), &xferv1.UpdateTransferRequest{
				Transfer:   &xferv1.Transfer{Name: name, Spec: &xferv1.TransferSpec{Labels: map[string]string{"x": "y"}}},
				UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"spec.labels"}},
			})
			return r.GetTransfer(), err
		},
		"cancel": func(who, name string) (*xferv1.Transfer, error) {
			r, err := c.CancelTransfer(as(t, who), &xferv1.CancelTransferRequest{Name: name, Purge: true})
			return r.GetTransfer(), err
		},
		"retry": func(who, name string) (*xferv1.Transfer, error) {
			r, err := c.RetryTransfer(as(t, who), &xferv1.RetryTransferRequest{Name: name, TransferId: "a-again"})
			return r.GetTransfer(), err
		},
	}
	states := map[string]xferv1.State{
		"get": xferv1.State_STATE_QUEUED, "wait": xferv1.State_STATE_QUEUED, "pause": xferv1.State_STATE_PAUSED, "resume": xferv1.State_STATE_QUEUED,
		"update": xferv1.State_STATE_RUNNING, "cancel": xferv1.State_STATE_CANCELLED, "retry": xferv1.State_STATE_QUEUED,
	}
	for _, what := range []string{"get", "wait", "pause", "resume", "update", "cancel", "retry"} {
		f := calls[what]
		_, err := f("bob", "nodes/n1/transfers/a")
		wantReason(t, what+" by somebody else", err, transfer.TransferNotFound)
		_, err = f("ann", "nodes/n1/transfers/none")
		wantReason(t, what+" of none", err, transfer.TransferNotFound)
		_, err = f("ann", "nodes/n9/transfers/a")
		wantReason(t, what+" at an unknown node", err, transfer.NodeUnknown)
		for _, name := range []string{"", "a", "nodes/n1", "nodes/n1/transfers/", "nodes//transfers/a", "nodes/n1/transfers/a/b", "nodes/-/transfers/a", "nodes/n1/regions/a"} {
			_, err = f("ann", name)
			wantReason(t, what+" of "+name, err, transfer.InvalidSpec)
		}
		got, err := f("ann", "nodes/n1/transfers/a")
		if err != nil || got.GetState() != states[what] {
			t.Errorf("%s: %s, %v", what, got.GetState(), err)
		}
		switch {
		case what == "cancel" && (got.GetCancelledBy() != "ann" || !n.engine.purged):
			t.Errorf("cancelled by %q, purged %t", got.GetCancelledBy(), n.engine.purged)
		case what == "update" && got.GetSpec().GetLabels()["x"] != "y":
			t.Errorf("updated to %v", got.GetSpec())
		case what == "retry" && (got.GetRetryOf() != "nodes/n1/transfers/a" || got.GetName() != "nodes/n1/transfers/a-again"):
			t.Errorf("retried as %v", got)
		}
	}
	if _, err := calls["get"]("root", "nodes/n1/transfers/a"); err != nil {
		t.Errorf("an administrator does not see it: %v", err)
	}
	_, err := calls["pause"]("ann", "nodes/n1/transfers/a")
	wantReason(t, "pause of a cancelled one", err, transfer.AlreadyFinished)
	_, err = c.RetryTransfer(ann, &xferv1.RetryTransferRequest{Name: "nodes/n1/transfers/a", TransferId: "a"})
	wantReason(t, "retry under its own id", err, transfer.InvalidSpec)
	_, err = c.RetryTransfer(ann, &xferv1.RetryTransferRequest{Name: "nodes/n1/transfers/a-again", TransferId: "b"})
	wantReason(t, "retry of one that is not over", err, transfer.BadState)
}

func TestUpdateMask(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	n.engine.add("a", "ann", func(tr *transfer.Transfer) {
		tr.Spec.MaxRate, tr.Spec.Priority, tr.Spec.Deadline = 5, transfer.PriorityHigh, time.Unix(4e9, 0)
	})
	update := func(spec *xferv1.TransferSpec, paths ...string) (*xferv1.TransferSpec, error) {
		r, err := n.transfers().UpdateTransfer(as(t, "ann"), &xferv1.UpdateTransferRequest{
			Transfer: &xferv1.Transfer{Name: "nodes/n1/transfers/a", Spec: spec}, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths},
		})
		return r.GetTransfer().GetSpec(), err
	}
	for _, paths := range [][]string{nil, {"*"}, {"spec"}, {"spec.destination"}, {"state"}, {"spec.labels", "name"}} {
		_, err := update(&xferv1.TransferSpec{}, paths...)
		wantReason(t, strings.Join(paths, ","), err, transfer.InvalidSpec)
	}
	_, err := update(&xferv1.TransferSpec{MaxBytesPerSecond: new(int64(-4))}, "spec.max_bytes_per_second")
	wantReason(t, "a negative rate", err, transfer.InvalidSpec)
	_, err = update(&xferv1.TransferSpec{Priority: 77}, "spec.priority")
	wantReason(t, "an unknown priority", err, transfer.InvalidSpec)
	_, err = update(&xferv1.TransferSpec{Priority: xferv1.Priority_PRIORITY_SYSTEM}, "spec.priority")
	wantReason(t, "the system's priority", err, transfer.PermissionDenied)
	_, err = update(&xferv1.TransferSpec{Deadline: timestamppb.New(time.Unix(1, 0))}, "spec.deadline")
	wantReason(t, "a deadline in the past", err, transfer.DeadlineExceeded)

	got, err := update(nil, "spec.max_bytes_per_second", "spec.deadline")
	if err != nil || got.MaxBytesPerSecond != nil || got.Deadline != nil || got.GetPriority() != xferv1.Priority_PRIORITY_HIGH {
		t.Errorf("cleared to %v, %v", got, err)
	}
	got, err = update(&xferv1.TransferSpec{MaxBytesPerSecond: new(int64(9)), Priority: xferv1.Priority_PRIORITY_LOW}, "spec.max_bytes_per_second")
	if err != nil || got.GetMaxBytesPerSecond() != 9 || got.GetPriority() != xferv1.Priority_PRIORITY_HIGH {
		t.Errorf("only the rate: %v, %v", got, err)
	}
}

func TestAbandon(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	uid := transfer.NewUID()
	n.engine.incoming = []transfer.Transfer{{Owner: "lost", ID: "x", UID: uid, State: transfer.StateRunning}}
	abandon := func(who string, r *xferv1.AbandonTransferRequest) error {
		_, err := n.transfers().AbandonTransfer(as(t, who), r)
		return err
	}
	byName := &xferv1.AbandonTransferRequest{Parent: "nodes/n1", Transfer: &xferv1.AbandonTransferRequest_Name{Name: "nodes/lost/transfers/x"}}
	wantReason(t, "by a user", abandon("ann", byName), transfer.PermissionDenied)
	wantReason(t, "of nothing", abandon("root", &xferv1.AbandonTransferRequest{Parent: "nodes/n1"}), transfer.InvalidSpec)
	for _, bad := range []string{"", "xyz", strings.Repeat("0", 32), strings.Repeat("a", 33)} {
		wantReason(t, bad, abandon("root", &xferv1.AbandonTransferRequest{Parent: "nodes/n1", Transfer: &xferv1.AbandonTransferRequest_Uid{Uid: bad}}), transfer.InvalidSpec)
	}
	if err := abandon("root", byName); err != nil || n.engine.abandoned != uid {
		t.Errorf("by name: %v, %s", err, n.engine.abandoned)
	}
	n.engine.abandoned = transfer.UID{}
	if err := abandon("root", &xferv1.AbandonTransferRequest{Parent: "nodes/n1", Transfer: &xferv1.AbandonTransferRequest_Uid{Uid: uid.String()}}); err != nil || n.engine.abandoned != uid {
		t.Errorf("by uid: %v, %s", err, n.engine.abandoned)
	}
}

func TestWait(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	n.engine.add("a", "ann")
	wait := func(d time.Duration) (*xferv1.Transfer, error) {
		r, err := n.transfers().WaitTransfer(as(t, "ann"), &xferv1.WaitTransferRequest{Name: "nodes/n1/transfers/a", Timeout: durationpb.New(d)})
		return r.GetTransfer(), err
	}
	if _, err := wait(-1); reasonOf(err) != transfer.InvalidSpec {
		t.Errorf("a negative time: %v", err)
	}
	if got, err := wait(time.Millisecond); err != nil || got.GetState() != xferv1.State_STATE_QUEUED {
		t.Errorf("a short wait: %v, %v", got, err)
	}
	got := make(chan *xferv1.Transfer)
	go func() {
		r, _ := wait(time.Hour)
		got <- r
	}()
	n.engine.set("a", func(tr *transfer.Transfer) { tr.State = transfer.StateSucceeded })
	if r := <-got; r.GetState() != xferv1.State_STATE_SUCCEEDED {
		t.Errorf("it ended as %v", r)
	}
}

func TestEntries(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	n.engine.add("a", "ann")
	for i := range 5 {
		r := transfer.Result{Entry: uint64(i), Path: "f\xff", Kind: transfer.KindFile, Outcome: transfer.OutcomePublished, Change: transfer.ChangeNew | transfer.ChangeMtime}
		if i%2 == 1 {
			r.Outcome, r.Lost = transfer.OutcomeFailed, transfer.PreserveOwner
			r.Err = &transfer.Error{Reason: transfer.DestNoSpace, Err: errFake}
		}
		n.engine.results["a"] = append(n.engine.results["a"], r)
	}
	list := func(r *xferv1.ListEntriesRequest) (*xferv1.ListEntriesResponse, error) {
		r.Parent = "nodes/n1/transfers/a"
		return n.transfers().ListEntries(as(t, "ann"), r)
	}
	one, err := list(&xferv1.ListEntriesRequest{PageSize: 2})
	if err != nil || len(one.GetEntries()) != 2 || one.GetNextPageToken() == "" {
		t.Fatalf("first page: %v, %v", one, err)
	}
	two, err := list(&xferv1.ListEntriesRequest{PageSize: 1000, PageToken: one.GetNextPageToken()})
	if err != nil || len(two.GetEntries()) != 3 || two.GetNextPageToken() != "" {
		t.Errorf("second page: %v, %v", two, err)
	}
	failed, err := list(&xferv1.ListEntriesRequest{Outcomes: []xferv1.Outcome{xferv1.Outcome_OUTCOME_FAILED}, LostOnly: true})
	if err != nil || len(failed.GetEntries()) != 2 || failed.GetEntries()[0].GetError().GetReason() != "DEST_NO_SPACE" || failed.GetEntries()[0].GetLost()[0] != xferv1.Property_PROPERTY_OWNER {
		t.Errorf("failed ones: %v, %v", failed, err)
	}
	if e := two.GetEntries()[0]; string(e.GetPath()) != "f\xff" || len(e.GetChanges()) != 2 {
		t.Errorf("an entry is %v", e)
	}
	_, err = list(&xferv1.ListEntriesRequest{PageSize: -1})
	wantReason(t, "page size -1", err, transfer.InvalidSpec)
	_, err = list(&xferv1.ListEntriesRequest{Outcomes: []xferv1.Outcome{99}})
	wantReason(t, "unknown outcome", err, transfer.InvalidSpec)
	_, err = list(&xferv1.ListEntriesRequest{PageToken: "garbage"})
	wantReason(t, "garbage", err, transfer.InvalidPageToken)
	_, err = list(&xferv1.ListEntriesRequest{PageToken: one.GetNextPageToken(), LostOnly: true})
	wantReason(t, "of another request", err, transfer.InvalidPageToken)
	_, err = n.transfers().ListEntries(as(t, "bob"), &xferv1.ListEntriesRequest{Parent: "nodes/n1/transfers/a"})
	wantReason(t, "of somebody else", err, transfer.TransferNotFound)
}
