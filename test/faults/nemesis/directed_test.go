package nemesis

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// big is a file that takes some seconds at the rate of begins.
var big = files{"big": 48 << 20}

// inFlight is what may be on its way when a data plane breaks, and goes again: four
// streams of four chunks.
const inFlight = 16 << 20

// begins begins to copy a big file over an older version, and returns when a part of it
// has landed.
func (c *cluster) begins(from, to *node, id string, adapt func(*xferv1.TransferSpec)) *move {
	c.t.Helper()
	m := c.copying(from, to, id, "src-"+id, "dst")
	err := errors.Join(
		big.writeAll(filepath.Join(from.data(), "src-"+id), 2),
		big.writeAll(filepath.Join(to.data(), "dst"), 1),
	)
	if err != nil {
		c.t.Fatal(err)
	}
	rate := int64(8 << 20) // enough time for what follows
	m.spec.MaxBytesPerSecond = &rate
	if adapt != nil {
		adapt(m.spec)
	}
	if _, err := m.submit(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	c.eventually("a part has landed", func() error {
		t := m.look()
		if n := t.GetCounters().GetBytesDone(); n < 8<<20 {
			return fmt.Errorf("%d bytes have landed, it is %v", n, t.GetState())
		}
		return nil
	})
	return m
}

// look returns the transfer, which has to be there.
func (m *move) look() *xferv1.Transfer {
	m.c.t.Helper()
	t, err := m.get(m.c.t.Context())
	if err != nil {
		m.c.t.Fatal(err)
	}
	return t
}

func moved(t *xferv1.Transfer) (n int64) {
	for _, b := range t.GetCounters().GetBytesMoved() {
		n += b
	}
	return n
}

// ends waits for the end of the transfer, which has to be that state and reason.
func (m *move) ends(state xferv1.State, reason string) *xferv1.Transfer {
	m.c.t.Helper()
	t, err := m.end(m.c.t.Context())
	if err != nil {
		m.c.t.Fatal(err)
	}
	if t.GetState() != state || t.GetError().GetReason() != reason {
		m.c.t.Fatalf("%s ended %v, %v, want %v %s", m.name(), t.GetState(), t.GetError(), state, reason)
	}
	return t
}

// succeeds waits for the end, which has to be good, and looks at the destination. Of the
// big file at most again was moved twice.
func (m *move) succeeds(again int64) {
	m.c.t.Helper()
	t := m.ends(xferv1.State_STATE_SUCCEEDED, "")
	if err := big.equal(m.dst(), 2); err != nil {
		m.c.t.Error(err)
	}
	n := moved(t)
	m.c.t.Logf("%d attempts, %d bytes more than there are", t.GetCounters().GetAttempts(), n-big.bytes())
	if n < big.bytes() || n > big.bytes()+again || t.GetCounters().GetMismatches() != 0 {
		m.c.t.Errorf("%d bytes of %d were moved, and %d extents damaged", n, big.bytes(), t.GetCounters().GetMismatches())
	}
}

func (m *move) dst() string { return string(m.spec.Destination.GetPath()) }

// waits waits until the transfer says why it does not move.
func (m *move) waits(reasons ...string) *xferv1.Transfer {
	m.c.t.Helper()
	var t *xferv1.Transfer
	m.c.eventually("it is known why it does not move", func() error {
		t = m.look()
		for _, r := range reasons {
			if t.GetWaitingReason() == r {
				return nil
			}
		}
		return fmt.Errorf("it is %v, %q, want %q", t.GetState(), t.GetWaitingReason(), reasons)
	})
	return t
}

// unchanged says that the destination still has the old version.
func (m *move) unchanged() {
	m.c.t.Helper()
	if err := big.equal(m.dst(), 1); err != nil {
		m.c.t.Error(err)
	}
}

// must is for the faults themselves.
func (c *cluster) must(heal func() error, err error) func() {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	return func() {
		c.t.Helper()
		if err := heal(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// finish judges what is left when all is over.
func (c *cluster) finish() {
	c.t.Helper()
	c.free()
	c.whole()
	c.judgeState()
}

// lasting is how long a fault is.
func lasting(d time.Duration) { time.Sleep(d) }

// soon are flags that make what is kept go while a test looks on.
var soon = []string{"--times-partial-ttl=10s"}

// owner and target of most tests; the third node has a part in membership alone.
func (c *cluster) two() (owner, target *node) { return c.nodes[0], c.nodes[1] }

func parallel(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		test(t)
	})
}

// freeze returns when all threads of the node stand.
func freeze(t *testing.T, n *node) {
	t.Helper()
	err := n.signal(syscall.SIGSTOP)
	for done := err != nil; !done; done = err != unix.EINTR {
		err = unix.Waitid(unix.P_PID, n.now().cmd.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func thaw(t *testing.T, n *node) {
	t.Helper()
	if err := n.signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// quick lifts the bound of a transfer's rate.
func quick(m *move) *xferv1.UpdateTransferRequest {
	return &xferv1.UpdateTransferRequest{
		Transfer:   &xferv1.Transfer{Name: m.name(), Spec: &xferv1.TransferSpec{}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"spec.max_bytes_per_second"}},
	}
}
