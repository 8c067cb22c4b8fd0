package command

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/settings"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	time.Local = time.UTC
	goleak.VerifyTestMain(m)
}

// fake is a server of one transfer. Tests replace what they care about.
type fake struct {
	API // what is not replaced panics

	mu        sync.Mutex
	calls     []string
	spec      *xferv1.TransferSpec
	id        string
	submitErr error
	existed   bool
	state     xferv1.State // after Submit
	waits     []wait       // what WaitFor answers, in turn; the last one stays
	full      *xferv1.Transfer
	others    []*xferv1.Transfer // Get finds each once
	entries   []*xferv1.EntryResult
	cancelled chan struct{} // closed by Cancel, if not nil
	cancelErr error
	nodes     []*xferv1.Node
	silent    []string // ids of nodes that do not answer Get
	listing   *client.Listing
	events    []client.Event
	plan      *xferv1.Plan
	files     map[string][]*xferv1.File
	steerErr  map[string]error
}

// wait is one answer of WaitFor. With block it comes when the call's time is
// over.
type wait struct {
	t     *xferv1.Transfer
	err   error
	block bool
	hang  bool // no answer, ever
}

func (f *fake) called(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, what)
}

func callError(r xferv1.Reason, text string) error {
	i := r.Info()
	return &client.Error{Reason: r.Name(), ExitCode: int(i.GetExitCode()), Retryable: i.GetRetryable(), Message: text}
}

var errGone error = &client.Error{Code: codes.Unavailable, ExitCode: 10, Retryable: true, Message: "connection error: desc = \"transport: Error while dialing: dial unix /x: connect: connection refused\""}

func (f *fake) Submit(ctx context.Context, id string, spec *xferv1.TransferSpec) (*client.Submitted, error) {
	f.called("submit " + id)
	f.id, f.spec = id, spec
	if f.submitErr == context.Canceled { // hangs
		<-ctx.Done()
		return nil, client.AsError(ctx.Err())
	}
	if f.submitErr != nil {
		return nil, f.submitErr
	}
	return &client.Submitted{Transfer: &xferv1.Transfer{Name: client.Name(spec.GetSourceNode(), id), Spec: spec, State: f.state}, AlreadyExisted: f.existed}, nil
}

func (f *fake) Validate(_ context.Context, spec *xferv1.TransferSpec) (*xferv1.Plan, error) {
	f.spec = spec
	return f.plan, f.submitErr
}

func (f *fake) WaitFor(ctx context.Context, name string, d time.Duration) (*xferv1.Transfer, error) {
	f.mu.Lock()
	w := f.waits[0]
	if len(f.waits) > 1 {
		f.waits = f.waits[1:]
	}
	f.mu.Unlock()
	if w.hang {
		<-ctx.Done()
		return nil, client.AsError(ctx.Err())
	}
	if w.block {
		select {
		case <-time.After(d):
		case <-f.cancelled:
			return f.full, nil
		case <-ctx.Done():
			return nil, client.AsError(ctx.Err())
		}
	}
	return w.t, w.err
}

func (f *fake) Get(_ context.Context, name string) (*xferv1.Transfer, error) {
	f.called("get " + name)
	if node, _, _ := splitName(name); slices.Contains(f.silent, node) {
		return nil, callError(xferv1.Reason_REASON_OWNER_UNREACHABLE, node+" does not answer")
	}
	for i, t := range f.others {
		if t.GetName() == name {
			f.others = slices.Delete(f.others, i, i+1)
			return t, nil
		}
	}
	if f.full == nil || f.full.GetName() != name {
		return nil, callError(xferv1.Reason_REASON_TRANSFER_NOT_FOUND, "no transfer "+name)
	}
	return f.full, nil
}

func (f *fake) Cancel(_ context.Context, name string, purge bool) (*xferv1.Transfer, error) {
	f.called("cancel " + name + map[bool]string{true: " purge"}[purge])
	if f.cancelErr == nil && f.cancelled != nil {
		close(f.cancelled)
	}
	return &xferv1.Transfer{Name: name, State: xferv1.State_STATE_CANCELLING}, errors.Join(f.cancelErr, f.steerErr[name])
}

func (f *fake) Pause(_ context.Context, name string) (*xferv1.Transfer, error) {
	return &xferv1.Transfer{Name: name, State: xferv1.State_STATE_PAUSING}, f.steerErr[name]
}

func (f *fake) Retry(_ context.Context, name, id string) (*client.Submitted, error) {
	f.called("retry " + name + " as " + id)
	return &client.Submitted{Transfer: &xferv1.Transfer{Name: client.Name("n1", id)}}, nil
}

func (f *fake) AbandonUID(_ context.Context, target, uid string) error {
	f.called("abandon " + uid + " at " + target)
	return nil
}

func (f *fake) Abandon(_ context.Context, target, name string) error {
	f.called("abandon " + name + " at " + target)
	return nil
}

func (f *fake) Drain(_ context.Context, id string) (*xferv1.Node, error) {
	return &xferv1.Node{Name: client.NodeName(id), State: xferv1.NodeState_NODE_STATE_ALIVE, Draining: true}, nil
}

func (f *fake) ListNodes(context.Context) ([]*xferv1.Node, error) { return f.nodes, nil }

func (f *fake) GetNode(_ context.Context, id string, _ ...string) (*xferv1.Node, error) {
	for _, n := range f.nodes {
		if nodeID(n) == id {
			return n, nil
		}
	}
	return nil, callError(xferv1.Reason_REASON_NODE_UNKNOWN, "no node "+id)
}

func (f *fake) List(context.Context, *xferv1.ListTransfersRequest) (*client.Listing, error) {
	return f.listing, nil
}

func (f *fake) Entries(_ context.Context, req *xferv1.ListEntriesRequest) iter.Seq2[*xferv1.EntryResult, error] {
	return func(yield func(*xferv1.EntryResult, error) bool) {
		for _, e := range f.entries {
			want := len(req.GetOutcomes()) == 0
			for _, o := range req.GetOutcomes() {
				want = want || o == e.GetOutcome()
			}
			if want && (!req.GetLostOnly() || len(e.GetLost()) > 0) && !yield(e, nil) {
				return
			}
		}
	}
}

func (f *fake) Watch(context.Context, client.WatchOptions) iter.Seq2[client.Event, error] {
	return func(yield func(client.Event, error) bool) {
		for _, e := range f.events {
			if !yield(e, nil) {
				return
			}
		}
		yield(client.Event{}, errGone)
	}
}

func (f *fake) Files(_ context.Context, node, path string) iter.Seq2[*xferv1.File, error] {
	return func(yield func(*xferv1.File, error) bool) {
		files, ok := f.files[node+":"+path]
		if !ok {
			yield(nil, callError(xferv1.Reason_REASON_SOURCE_NOT_REGULAR, path+" is no directory"))
			return
		}
		for _, x := range files {
			if !yield(x, nil) {
				return
			}
		}
	}
}

func (f *fake) Stat(_ context.Context, node, path string, follow bool) (*xferv1.File, error) {
	return &xferv1.File{Path: []byte(path), Kind: xferv1.EntryKind_ENTRY_KIND_FILE, Size: 1234567, Mode: 0o4755}, nil
}

func (f *fake) Close() error { return nil }

// ran is what a run of xferctl gave.
type ran struct {
	code     int
	out, err string
}

// world runs command lines against a fake.
type world struct {
	api     *fake
	other   API // instead of it
	signals chan os.Signal
	tty     bool
	stdin   string
	stdout  io.Writer // instead of a buffer
	environ []string
}

func (w *world) run(t *testing.T, line string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	stdout := io.Writer(&out)
	if w.stdout != nil {
		stdout = w.stdout
	}
	if w.signals == nil {
		w.signals = make(chan os.Signal, 4)
	}
	code := Run(t.Context(), strings.Fields(line), Env{
		Stdin: strings.NewReader(w.stdin), Stdout: stdout, Stderr: &errs, Environ: w.environ,
		ConfigDir: func() (string, error) { return t.TempDir(), nil },
		WorkDir:   func() (string, error) { return "/home/u", nil },
		Terminal:  func(io.Writer) bool { return w.tty },
		Width:     func() int { return 100 },
		Dial: func(context.Context, settings.Settings) (API, error) {
			if w.other != nil {
				return w.other, nil
			}
			return w.api, nil
		},
		Signals: func() (<-chan os.Signal, func()) { return w.signals, func() {} },
		NewID:   func() string { return "new" },
	})
	return ran{code, out.String(), errs.String()}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s", name, got)
	}
}

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// transfer is one that succeeded; change makes it another.
func transfer(change func(*xferv1.Transfer)) *xferv1.Transfer {
	t := &xferv1.Transfer{
		Name: "nodes/n1/transfers/new", Uid: strings.Repeat("0a", 16), State: xferv1.State_STATE_SUCCEEDED, SourceCount: 1,
		Spec:       &xferv1.TransferSpec{SourceNode: "n1", TargetNode: "n2"},
		CreateTime: timestamppb.New(t0), StartTime: timestamppb.New(t0.Add(time.Second)), UpdateTime: timestamppb.New(t0.Add(11 * time.Second)), EndTime: timestamppb.New(t0.Add(11 * time.Second)),
		Counters: &xferv1.Counters{
			EntriesFound: 1300, TotalKnown: true, FilesTotal: 1223, BytesTotal: 13 << 30, FilesCopied: 1203, FilesSame: 20, DirsMade: 77,
			BytesDone: 13 << 30, BytesMoved: map[string]int64{"tcp": 12 << 30}, Attempts: 1,
		},
		DataPath: &xferv1.DataPath{Transport: "tcp", Reason: "PEER_HAS_NONE", Verify: "wire", Bottleneck: "network"},
	}
	t.Spec.Sources = []*xferv1.Source{client.Path("/a/dir", false)}
	t.Spec.Destination = &xferv1.Destination{Destination: &xferv1.Destination_Path{Path: []byte("/b/dir")}}
	if change != nil {
		change(t)
	}
	return t
}

func failed(path string, r xferv1.Reason) *xferv1.EntryResult {
	return &xferv1.EntryResult{
		Path: []byte(path), Kind: xferv1.EntryKind_ENTRY_KIND_FILE, Outcome: xferv1.Outcome_OUTCOME_FAILED,
		Error: &xferv1.Error{Reason: r.Name(), Side: "destination", Phase: "write", Node: "n2", Path: []byte("/b/dir/" + path), Message: "something happened", Hint: "mend it"},
	}
}

func clone(t *xferv1.Transfer, change func(*xferv1.Transfer)) *xferv1.Transfer {
	c := proto.Clone(t).(*xferv1.Transfer)
	change(c)
	return c
}
