package nemesis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/internal/store"
)

// cluster is some nodes that know each other.
type cluster struct {
	t     *testing.T
	nodes []*node
}

func newCluster(t *testing.T, n int, flags ...string) *cluster {
	t.Helper()
	rigged(t)
	l := newLAN(t, n)
	dir := newDir(t)
	c := &cluster{t: t}
	t.Cleanup(c.close) // before the network goes
	for i, h := range l.hosts {
		x := &node{host: h, name: fmt.Sprintf("n%d", i+1), more: flags}
		x.home = filepath.Join(dir, x.name)
		for _, other := range l.hosts {
			x.join = append(x.join, other.address)
		}
		if err := os.MkdirAll(x.data(), 0o755); err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, x)
		if err := x.start(); err != nil {
			t.Fatal(err)
		}
	}
	c.whole()
	return c
}

// close ends all nodes, and tells what they said where the test failed.
func (c *cluster) close() {
	for _, n := range c.nodes {
		if n.now() != nil {
			if err := n.health(); err != nil {
				c.t.Error(err)
			}
			n.kill()
		}
		if c.t.Failed() {
			c.t.Logf("--- %s\n%s", n.name, tail(n.logs()))
		}
		if n.conn != nil {
			_ = n.conn.Close()
		}
	}
}

// sees is how many live nodes a node knows of, itself included.
func (c *cluster) sees(n *node) (alive int, err error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	resp, err := n.nodes().ListNodes(ctx, &xferv1.ListNodesRequest{})
	for _, x := range resp.GetNodes() {
		if x.GetState() == xferv1.NodeState_NODE_STATE_ALIVE && !x.GetDuplicate() {
			alive++
		}
	}
	return alive, err
}

// whole waits until everybody sees everybody.
func (c *cluster) whole() {
	c.t.Helper()
	for _, n := range c.nodes {
		c.eventually(n.name+" sees all nodes", func() error {
			alive, err := c.sees(n)
			if err == nil && alive != len(c.nodes) {
				err = fmt.Errorf("it sees %d", alive)
			}
			return err
		})
	}
}

// eventually waits until what is said holds.
func (c *cluster) eventually(what string, holds func() error) {
	c.t.Helper()
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := holds()
		if err == nil {
			return
		}
		if time.Since(begin) > patience {
			c.t.Fatalf("%s: not within %v: %v", what, patience, err)
		}
	}
}

// free waits until no node holds a destination, a journal or a temporary file.
func (c *cluster) free() {
	c.t.Helper()
	for _, n := range c.nodes {
		c.eventually(n.name+" holds nothing", func() error {
			ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
			defer cancel()
			resp, err := n.api().ListTransfers(ctx, &xferv1.ListTransfersRequest{Parent: "nodes/" + n.name, Incoming: true})
			if err == nil && len(resp.GetTransfers()) > 0 {
				err = fmt.Errorf("it is still the target of %v", resp.GetTransfers())
			}
			logs, _ := filepath.Glob(filepath.Join(n.state(), "transfers", "*", "target", "*"))
			left, terr := temps(n.data())
			if len(logs)+len(left) > 0 {
				terr = errors.Join(terr, fmt.Errorf("it has the journals %q and the temporary files %q", logs, left))
			}
			return errors.Join(err, terr)
		})
	}
}

// judgeState ends all nodes in good order and looks at what they leave.
func (c *cluster) judgeState() {
	c.t.Helper()
	for _, n := range c.nodes {
		err := errors.Join(n.stop(), n.health())
		r, serr := store.Check(context.Background(), n.state())
		if serr == nil {
			serr = errors.Join(r.Problems...)
		}
		if serr == nil && (r.Tables["target-locks"] > 0 || r.Tables["target-partials"] > 0) {
			serr = fmt.Errorf("it keeps %v", r.Tables)
		}
		if err = errors.Join(err, serr); err != nil {
			c.t.Errorf("the state of %s: %v", n.name, err)
		}
	}
}

// move is one transfer between two nodes.
type move struct {
	c        *cluster
	from, to *node
	id       string
	spec     *xferv1.TransferSpec
	uid      string
}

// copying prepares a copy of the contents of src, below the data of one node, to dst,
// below that of another.
func (c *cluster) copying(from, to *node, id, src, dst string) *move {
	chunk := int64(1 << 20)
	return &move{c: c, from: from, to: to, id: id, spec: &xferv1.TransferSpec{
		Mode: xferv1.Mode_MODE_COPY, SourceNode: from.name, TargetNode: to.name, ChunkSize: &chunk,
		Sources:     []*xferv1.Source{{Source: &xferv1.Source_Path{Path: &xferv1.PathSource{Path: []byte(filepath.Join(from.data(), src)), Contents: true}}}},
		Destination: &xferv1.Destination{Destination: &xferv1.Destination_Path{Path: []byte(filepath.Join(to.data(), dst))}},
	}}
}

func (m *move) name() string { return "nodes/" + m.from.name + "/transfers/" + m.id }

// errLate: the owner was away for longer than the deadline, so it refused the transfer.
var errLate = errors.New("the deadline passed before the transfer was accepted")

// submit submits until it is answered, which a node that is away may take a while for.
func (m *move) submit(ctx context.Context) (*xferv1.Transfer, error) {
	for {
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		resp, err := m.from.api().SubmitTransfer(short, &xferv1.SubmitTransferRequest{TransferId: m.id, Spec: m.spec})
		cancel()
		if err == nil {
			if uid := resp.GetTransfer().GetUid(); m.uid == "" {
				m.uid = uid
			} else if uid != m.uid || !resp.GetAlreadyExisted() {
				return nil, fmt.Errorf("P4: the same id again is another transfer: %s, was %s", uid, m.uid)
			}
			return resp.GetTransfer(), nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("submit %s: %w", m.name(), err)
		}
		if m.uid == "" && reason(err) == "DEADLINE_EXCEEDED" {
			return nil, errLate
		}
		// A node that has just started knows nobody yet.
		if !passes(err) && reason(err) != "NODE_UNKNOWN" {
			return nil, fmt.Errorf("submit %s: %w", m.name(), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// get returns the transfer as its owner knows it.
func (m *move) get(ctx context.Context) (*xferv1.Transfer, error) {
	for {
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		resp, err := m.from.api().GetTransfer(short, &xferv1.GetTransferRequest{Name: m.name()})
		cancel()
		if err == nil {
			return resp.GetTransfer(), nil
		}
		if ctx.Err() != nil || !passes(err) {
			return nil, fmt.Errorf("P3: get %s: %w", m.name(), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func over(t *xferv1.Transfer) bool { return t.GetState() >= xferv1.State_STATE_SUCCEEDED }

// end waits for the end of the transfer.
func (m *move) end(ctx context.Context) (*xferv1.Transfer, error) {
	for {
		short, cancel := context.WithTimeout(ctx, 20*time.Second)
		resp, err := m.from.api().WaitTransfer(short, &xferv1.WaitTransferRequest{Name: m.name(), Timeout: durationpb.New(10 * time.Second)})
		cancel()
		t := resp.GetTransfer()
		switch {
		case err == nil && m.uid != "" && t.GetUid() != m.uid:
			return nil, fmt.Errorf("P4: %s is another transfer: %s, was %s", m.name(), t.GetUid(), m.uid)
		case over(t):
			return t, nil
		case err != nil && !passes(err) && ctx.Err() == nil:
			return nil, fmt.Errorf("P3: wait for %s: %w", m.name(), err)
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%s is not over: %v %s %s", m.name(), t.GetState(), t.GetWaitingReason(), t.GetWaitingDetail())
		}
		if err != nil {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// passes says whether an error of a call may be one of a node that is away for a moment.
func passes(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted:
		return true
	}
	return false
}

// reason is that of an error of a call.
func reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
