package command

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/bubble"
)

func nodes() []*xferv1.Node {
	return []*xferv1.Node{
		{Name: "nodes/n1", State: xferv1.NodeState_NODE_STATE_ALIVE, Version: "v1", ControlAddress: "10.0.0.1:7440", OwnReport: true,
			Transports: []*xferv1.NodeTransport{{Name: "rdma", Reason: "NO_DEVICE", Detail: "no RDMA device"}, {Name: "tcp", Usable: true}}, Labels: map[string]string{"zone": "a", "rack": "r1"},
			TransfersQueued: 3, TransfersRunning: 2, Exports: []*xferv1.Export{{Path: []byte("/data"), Writable: true}, {Path: []byte("/ref\x1b")}},
			RdmaDevices:        []*xferv1.RdmaDevice{{Name: "mlx5_0", Reason: "PORT_DOWN", Detail: "port 1 is down"}, {Name: "mlx5_1"}},
			FailingFileSystems: []*xferv1.FailingFileSystem{{Path: []byte("/data/d\x1b"), SinceTime: timestamppb.New(t0), Message: "sync: input/output error\x1b"}}},
		{Name: "nodes/n2", State: xferv1.NodeState_NODE_STATE_ALIVE, Draining: true, Insecure: true, Transports: []*xferv1.NodeTransport{{Name: "tcp", Usable: true, Detail: "on \x1b[2Jeth0"}}},
		{Name: "nodes/n3", State: xferv1.NodeState_NODE_STATE_FAILED},
	}
}

func TestLists(t *testing.T) {
	api := &fake{nodes: nodes(), plan: &xferv1.Plan{Transport: "tcp", Reason: "NO_DEVICE", ResolvedDestination: []byte("/mnt/b/dir"), FreeBytes: 5 << 40, Streams: 4, Verify: "wire"}}
	api.listing = &client.Listing{Unreachable: []string{"n3", "n3"}, Transfers: []*xferv1.Transfer{
		transfer(nil),
		clone(running(1<<30, true), func(t *xferv1.Transfer) { t.Name, t.SourceCount = "nodes/n1/transfers/two", 3 }),
		clone(running(1<<30, false), func(t *xferv1.Transfer) { t.Name = "nodes/n2/transfers/scanning" }),
	}}
	api.full = transfer(func(t *xferv1.Transfer) {
		t.State, t.Error = allFailed, &xferv1.Error{Reason: "DEST_NO_SPACE", Side: "destination", Phase: "write", Node: "n2", Message: "no space left on device", Hint: "free some"}
		t.Principal, t.Spec.Labels, t.Spec.Priority = "uid:1000", map[string]string{"job": "7"}, xferv1.Priority_PRIORITY_HIGH
		t.Digest = []byte("0123456789abcdef")
	})
	api.files = map[string][]*xferv1.File{
		"n1:/data": {
			{Path: []byte("dir"), Kind: xferv1.EntryKind_ENTRY_KIND_DIRECTORY, Mode: 0o2775, Uid: 0, Gid: 100, Size: 4096, ModifyTime: timestamppb.New(t0)},
			{Path: []byte("evil\x1b\n"), Kind: xferv1.EntryKind_ENTRY_KIND_FILE, Mode: 0o644, Uid: 1000, Gid: 1000, Size: 123456789, ModifyTime: timestamppb.New(t0)},
			{Path: []byte("link"), Kind: xferv1.EntryKind_ENTRY_KIND_SYMLINK, Mode: 0o777, Target: []byte("dir"), ModifyTime: timestamppb.New(t0)},
		},
		"n1:": {{Path: []byte("/data"), Kind: xferv1.EntryKind_ENTRY_KIND_DIRECTORY, Mode: 0o755, ModifyTime: timestamppb.New(t0)}},
	}
	api.entries = []*xferv1.EntryResult{
		failed("x", xferv1.Reason_REASON_DEST_NO_SPACE),
		{Path: []byte("y"), Outcome: xferv1.Outcome_OUTCOME_PUBLISHED, Lost: []xferv1.Property{xferv1.Property_PROPERTY_OWNER, xferv1.Property_PROPERTY_ACLS}},
	}
	var all strings.Builder
	for _, c := range []struct {
		line string
		code int
	}{
		{"nodes", 0}, {"nodes drain n2", 0}, {"transfers ls", 5}, {"transfers show n1/new", 0}, {"transfers show --failures n1/new", 0},
		{"transfers show --lost n1/new", 0}, {"transfers show --entries -o json n1/new", 0}, {"transfers show --lost -o yaml n1/new", 0}, {"explain n1:/a/dir n2:/b/", 0},
		{"ls n1:/data", 0}, {"ls -1 n1:/data", 0}, {"ls n1:", 0}, {"ls n1:/data/file", 0}, {"stat n1:/data/file", 0},
		{"transfers pause n1/new n1/other", 0}, {"transfers retry n1/new", 0}, {"transfers abandon --node n2 n1/new", 0},
		{"nodes -o yaml", 0}, {"nodes show n1", 0}, {"nodes show n2", 0}, {"nodes show -o json n1", 0}, {"ls -o json n1:/data", 0},
	} {
		r := (&world{api: api}).run(t, c.line)
		if r.code != c.code {
			t.Errorf("%s: exit code %d, %s", c.line, r.code, r.err)
		}
		all.WriteString("$ xferctl " + c.line + "\n" + r.out + r.err + "\n")
	}
	golden(t, "commands.txt", all.String())
	if strings.Contains(all.String(), "\x1b") {
		t.Error("a name reached the terminal unescaped")
	}
}

func TestColours(t *testing.T) {
	for env, want := range map[string]bool{"": true, "NO_COLOR=1": false, "NO_COLOR=": true, "TERM=dumb": false} {
		r := (&world{api: &fake{nodes: nodes()}, tty: true, environ: []string{env}}).run(t, "nodes")
		if got := strings.Contains(r.out, "\x1b[32m"); got != want {
			t.Errorf("%s: colours %v", env, got)
		}
	}
}

func TestNames(t *testing.T) {
	notFound := callError(xferv1.Reason_REASON_TRANSFER_NOT_FOUND, "no such transfer (TRANSFER_NOT_FOUND)")
	api := &fake{nodes: nodes(), full: transfer(nil), steerErr: map[string]error{"nodes/n9/transfers/x": notFound}}
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"transfers cancel new", 0, "nodes/n1/transfers/new  CANCELLING"},
		{"transfers cancel nodes/n1/transfers/new", 0, "nodes/n1/transfers/new  CANCELLING"},
		{"transfers cancel gone", 3, `no node has a transfer "gone"`},
		{"transfers cancel n9/x", 3, "xferctl: no such transfer (TRANSFER_NOT_FOUND)\n"},
		{"transfers cancel n9/x n1/new", 3, "n9/x: no such transfer"},
		{"transfers cancel -q n1/new", 0, ""},
		{"transfers cancel a/b/c", 2, "write NODE/ID"},
		{"transfers abandon --node n2 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a", 0, "n2 let go of 0a0a"},
	} {
		r := (&world{api: api}).run(t, c.line)
		if r.code != c.code || !strings.Contains(r.out+r.err, c.want) || c.want == "" && r.out+r.err != "" {
			t.Errorf("%s: %+v", c.line, r)
		}
	}
}

// TestNamesWhileANodeIsDown: a transfer that was found is shown whoever is down;
// one that is to be changed has to be of the node that was asked, or the only one
// for sure.
func TestNamesWhileANodeIsDown(t *testing.T) {
	done := transfer(nil)
	done.State = xferv1.State_STATE_SUCCEEDED
	api := &fake{nodes: nodes(), full: done, silent: []string{"n3"}}
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"transfers show new", 0, "nodes/n1/transfers/new"},
		{"transfers show nodes/-/transfers/new", 0, "nodes/n1/transfers/new"},
		{"transfers show gone", 10, `no transfer "gone" was found, but n3 did not answer`},
		{"transfers wait gone", 10, `no transfer "gone" was found, but n3 did not answer`},
		{"transfers cancel new", 0, "n3 did not answer, so n1/new of the node that was asked is meant"},
		{"transfers show nodes/-/transfers/a/b", 2, "write NODE/ID"},
	} {
		r := (&world{api: api}).run(t, c.line)
		if r.code != c.code || !strings.Contains(r.out+r.err, c.want) {
			t.Errorf("%s: %+v", c.line, r)
		}
	}
}

func TestWait(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		full := transfer(func(t *xferv1.Transfer) {
			t.State, t.Error = cancelled, &xferv1.Error{Reason: "CANCELLED", Message: "cancelled by uid:0"}
		})
		w := &world{api: &fake{full: full, waits: []wait{{block: true, t: running(1, true)}, {t: full}}}}
		if r := w.run(t, "transfers wait n1/new"); r.code != 13 || r.out != "nodes/n1/transfers/new  CANCELLED\n" || !strings.Contains(r.err, "cancelled by uid:0") {
			t.Errorf("%+v", r)
		}
		w = &world{api: &fake{waits: []wait{{block: true, t: running(1, true)}}}}
		start := time.Now()
		if r := w.run(t, "transfers wait --timeout 65s n1/new"); r.code != 75 || time.Since(start) != 65*time.Second || !strings.Contains(r.err, "not over after 1m5s") {
			t.Errorf("%+v after %v", r, time.Since(start))
		}
		time.AfterFunc(time.Second, func() { w.signals <- os.Interrupt })
		if r := w.run(t, "transfers wait n1/new"); r.code != 130 || len(w.api.calls) > 0 || !strings.Contains(r.err, "goes on") {
			t.Errorf("%+v, %q", r, w.api.calls)
		}
	})
}

func TestWatch(t *testing.T) {
	w := &world{api: &fake{events: []client.Event{
		{Transfer: running(1<<30, false)}, {CaughtUp: true}, {Lost: &xferv1.OwnerLost{Node: "n3", Detail: "no answer"}}, {Returned: &xferv1.OwnerReturned{Node: "n3"}},
		{Transfer: transfer(func(t *xferv1.Transfer) { t.State, t.Error = allFailed, &xferv1.Error{Reason: "STALLED"} })},
	}}}
	r := w.run(t, "transfers watch")
	want := "2026-01-02 03:04:16  n1/new  RUNNING  1.00GiB of >= 13.0GiB\n2026-01-02 03:04:16  n1/new  FAILED  13.0GiB of 13.0GiB  (STALLED)\n"
	if r.code != 10 || r.out != want || !strings.Contains(r.err, "no answer from n3") || !strings.Contains(r.err, "n3 answers again") {
		t.Errorf("%+v", r)
	}
	w.api.events = append(w.api.events, w.api.events[4]) // told twice
	if r := w.run(t, "transfers watch -o json"); strings.Count(r.out, "\n") != 5 || !strings.Contains(r.out, `"event":"owner_lost"`) {
		t.Errorf("%+v", r)
	}
}

func TestCompletion(t *testing.T) {
	api := &fake{nodes: nodes(), files: map[string][]*xferv1.File{
		"n1:/data": {{Path: []byte("set"), Kind: xferv1.EntryKind_ENTRY_KIND_DIRECTORY}, {Path: []byte("a\nb")}, {Path: []byte("file")}},
		"n1:":      {{Path: []byte("/data"), Kind: xferv1.EntryKind_ENTRY_KIND_DIRECTORY}},
	}, listing: &client.Listing{Transfers: []*xferv1.Transfer{transfer(nil)}}}
	for line, want := range map[string]string{
		"__complete cp n":                  "n1:\nn2:\nn3:\n",
		"__complete cp n1:/data/":          "n1:/data/set/\nn1:/data/file\n",
		"__complete cp n1:":                "n1:/data/\n",
		"__complete nodes drain n":         "n1\nn2\nn3\n",
		"__complete transfers show n":      "n1/new\tsucceeded\n",
		"__complete transfers ls --node n": "n1\nn2\nn3\n",
	} {
		if r := (&world{api: api}).run(t, line); r.code != 0 || !strings.HasPrefix(r.out, want+":") {
			t.Errorf("%s: %+v", line, r)
		}
	}
}

// TestPathWithoutNode: where a path is not there, or not allowed, the node that
// was left out may be the cause.
func TestPathWithoutNode(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		denied := &client.Error{Reason: "PATH_NOT_ALLOWED", ExitCode: 11, Node: "n1", Message: "not in an export"}
		full := transfer(func(t *xferv1.Transfer) {
			t.State, t.Error = allFailed, &xferv1.Error{Reason: "PATH_NOT_ALLOWED", Side: "destination", Node: "n1"}
		})
		for _, c := range []struct {
			line string
			api  *fake
			want string // no more than one hint
		}{
			{"cp n2/data/x n3:/b", &fake{submitErr: denied}, `"n2/data/x" has no node in front, so it was taken for a path of n1, the node that was asked; did you mean n2:/data/x?`},
			{"cp n2 n3:/b", &fake{submitErr: denied}, `did you mean n2:?`},
			{"cp /data/x n3:/b", &fake{submitErr: denied}, `did you mean NODE:/data/x?`},
			{"cp n3:/data/x /b", &fake{full: full, waits: []wait{{t: full}}}, `"/b" has no node in front`},
			{"cp n3:/data/x n1:/b", &fake{submitErr: denied}, ""},
			{"cp /data/x n3:/b", &fake{submitErr: callError(xferv1.Reason_REASON_QUEUE_FULL, "full")}, ""},
		} {
			c.api.nodes = nodes()
			r := (&world{api: c.api}).run(t, c.line)
			if n := strings.Count(r.err, "did you mean"); r.code == 0 || !strings.Contains(r.err, c.want) || n > 1 || (n == 1) != (c.want != "") {
				t.Errorf("%s: %+v", c.line, r)
			}
		}
	})
}

// TestDryRunsAreMarked wherever a state is shown.
func TestDryRunsAreMarked(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		dry := transfer(func(t *xferv1.Transfer) { t.Spec.DryRun = true })
		api := &fake{full: dry, waits: []wait{{t: dry}}, listing: &client.Listing{Transfers: []*xferv1.Transfer{dry}}, events: []client.Event{{CaughtUp: true}, {Transfer: dry}}}
		for line, want := range map[string]string{
			"transfers ls": "n1/new    SUCCEEDED (dry run)  ", "transfers show n1/new": "SUCCEEDED (dry run) nodes/", "transfers wait n1/new": "SUCCEEDED (dry run)\n",
			"transfers watch": "n1/new  SUCCEEDED (dry run)", "cp -n n1:/a/dir n2:/b/dir": "SUCCEEDED (dry run) nodes/", "cp -n -o json n1:/a/dir n2:/b/dir": `"state":"SUCCEEDED","dry_run":true,"exit_code":0`,
			"transfers ls -o json": `"dry_run": true`,
		} {
			if r := (&world{api: api}).run(t, line); !strings.Contains(r.out, want) {
				t.Errorf("%s: %+v", line, r)
			}
		}
	})
}

// TestShutSocket: the kernel does not let the caller in. Nobody who waits gets
// further, so the code is not that of a server that is away.
func TestShutSocket(t *testing.T) {
	shutErr := client.AsError(status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial unix /x: connect: permission denied"`))
	r := (&world{api: &fake{submitErr: shutErr}}).run(t, "cp n1:/a n2:/b")
	if r.code != 11 || !strings.Contains(r.err, "xferctl: xferd at unix:///run/xferd/xferd.sock: dial unix /x: connect: permission denied; its socket is for root") {
		t.Errorf("%+v", r)
	}
}

// broken is a stream that nobody reads, or that is full.
type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestBrokenOutput(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, line := range []string{"nodes", "version", "cp --detach n1:/a n2:/b", "cp -o json n1:/a n2:/b", "cp n1:/a/dir n2:/b/dir", "transfers watch --all", "nodes --help"} {
			api := &fake{nodes: nodes(), full: transfer(nil), waits: []wait{{t: running(1, true), block: true}, {t: transfer(nil)}}, events: []client.Event{{Transfer: transfer(nil)}}}
			if r := (&world{api: api, stdout: broken{syscall.EPIPE}}).run(t, line); r.code != 141 || r.err != "" {
				t.Errorf("%s, nobody reads: %+v", line, r)
			}
			api.waits = []wait{{t: transfer(nil)}}
			if r := (&world{api: api, stdout: broken{errors.New("disk full")}}).run(t, line); r.code == 0 || !strings.Contains(r.err, "standard output: disk full") {
				t.Errorf("%s, no room: %+v", line, r)
			}
		}
	})
}
