package verbs_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/test/lab"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
	"github.com/xferd/xferd/transport/verbs"
)

// The soak runs for as long as envSoak says, such as 10m, which make test-full sets.
// envSeed repeats what is random in one.
const (
	envSoak = "XFER_SOAK"
	envSeed = "XFER_SOAK_SEED"
)

// enough sessions for a fault to meet one.
const enough = 30

func soakTime(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(os.Getenv(envSoak))
	if err != nil {
		t.Skip("runs when " + envSoak + " says how long: make test-full")
	}
	return d
}

// TestLabSoak runs the soak on SoftRoCE in a virtual machine.
func TestLabSoak(t *testing.T) {
	if lab.Inside() {
		t.Skip("this is the lab already")
	}
	d := soakTime(t)
	seed := os.Getenv(envSeed)
	if seed == "" {
		seed = strconv.FormatUint(mrand.Uint64(), 10)
	}
	t.Logf("%s=%s", envSeed, seed)
	lab.RunTests(t, lab.TestJob{Run: "^TestF1RealSoak$", Job: lab.Job{
		Timeout: d + 3*time.Minute, Env: []string{envSoak + "=" + d.String(), envSeed + "=" + seed},
	}})
}

// soakSink keeps what lands of one file, in memory.
type soakSink struct {
	mu     sync.Mutex
	data   []byte
	landed map[int64]int // extents by offset: how often
	gate   *soakGate     // of the attempt
}

// soakGate has chunks wait at the target, from one of them on, until the fault of
// the attempt happened: else most sessions are over before it.
type soakGate struct {
	left         int // chunks before the one that waits; below 0: none waits
	come, opened chan struct{}
}

func (s *soakSink) Place(ctx context.Context, _ uint64, extents []transport.ExtentHeader) ([]transport.Landing, error) {
	s.mu.Lock()
	g := s.gate
	waits := g.left == 0
	if g.left > 0 {
		g.left--
	}
	if waits {
		select {
		case <-g.come:
		default:
			close(g.come)
		}
	}
	s.mu.Unlock()
	if waits {
		select {
		case <-g.opened:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return make([]transport.Landing, len(extents)), nil
}

func (s *soakSink) Landed(_ context.Context, _ uint64, arrivals []transport.Arrival) []transport.Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := make([]transport.Verdict, len(arrivals))
	for i := range arrivals {
		a := &arrivals[i]
		v[i] = transport.Verdict{Code: a.Code, Digest: a.Digest, Err: a.Err}
		if a.Err == nil {
			s.landed[a.Offset]++
			copy(s.data[a.Offset:a.End()], a.Mem)
		}
	}
	return v
}

// missing makes chunks of what did not land.
func (s *soakSink) missing(data []byte, chunk int) (all []*transport.Chunk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for off := 0; off < len(data); off += chunk {
		if s.landed[int64(off)] > 0 {
			continue
		}
		part := data[off:min(off+chunk, len(data))]
		r := transport.Range{Offset: int64(off), Length: int64(len(part))}
		all = append(all, &transport.Chunk{Seq: uint64(len(all)), Extents: []transport.Extent{{
			ExtentHeader: transport.ExtentHeader{Entry: 1, Offset: r.Offset, Length: r.Length, Segments: []transport.Range{r}},
			Bodies:       []transport.Body{{Mem: part}},
		}}})
	}
	return all
}

// soakFeed notes which extents were said to have landed.
type soakFeed struct {
	*transporttest.Feed
	mu     sync.Mutex
	placed []int64
}

func (f *soakFeed) Done(c *transport.Chunk, v []transport.Verdict) {
	if v[0].Code == transport.Placed {
		f.mu.Lock()
		f.placed = append(f.placed, c.Extents[0].Offset)
		f.mu.Unlock()
	}
	f.Feed.Done(c, v)
}

// soakAttempt is one edge with a fault at a random time, or once a chunk waits for
// it. It returns nil where all that was missing landed, and nothing of the edge is
// left when it returns.
func soakAttempt(t *testing.T, src, dst *realNode, s *soakSink, chunks []*transport.Chunk, chunk int64, fault func(transport.Incoming, transport.Outgoing), after time.Duration) error {
	id := transport.Edge{Epoch: 1, Peer: "target"}
	_, _ = rand.Read(id.UID[:])
	in, err := dst.Prepare(t.Context(), id, s, transport.PrepareOptions{Streams: 4, ChunkSize: chunk, Verify: true})
	if err != nil {
		return err
	}
	out, err := src.Dial(t.Context(), id, in.Grant(), transport.DialOptions{Streams: 4, ChunkSize: chunk, Verify: true, Control: func(context.Context) (transport.Control, error) {
		a, b := transporttest.Controls()
		go func() { _ = in.(transport.Joiner).Join(b) }() // Close of the edge waits for it
		return a, nil
	}})
	if err != nil {
		_ = in.Close()
		return err
	}
	feed := &soakFeed{Feed: transporttest.NewFeed(chunks...)}
	var faults sync.WaitGroup
	over, waits := make(chan struct{}), s.gate.left >= 0
	faults.Go(func() {
		defer close(s.gate.opened)
		if waits {
			select {
			case <-s.gate.come:
			case <-over:
				return
			}
		}
		select {
		case <-time.After(after):
			fault(in, out)
		case <-over:
		}
	})
	err = out.Run(t.Context(), feed)
	close(over)
	faults.Wait()
	_ = out.Close()
	if fence := in.Close(); fence != nil {
		t.Errorf("the fence: %v", fence)
	}
	feed.Settled(t)
	for _, off := range feed.placed {
		if n := s.landed[off]; n != 1 {
			t.Errorf("the extent at %d is said to have landed, and did %d times", off, n)
		}
	}
	return err
}

// TestF1RealSoak moves files of random sizes while sessions are ended at either end
// and their port goes down and up, all at random times: what did not land is sent
// again, every byte arrives once, and nothing is left behind.
func TestF1RealSoak(t *testing.T) {
	lab.RequireInside(t)
	total := soakTime(t)
	seed, err := strconv.ParseUint(os.Getenv(envSeed), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	rnd := mrand.New(mrand.NewPCG(seed, 1))
	netdev := os.Getenv(lab.EnvNetdev)
	link := func(state string) {
		if out, err := exec.Command("ip", "link", "set", netdev, state).CombinedOutput(); err != nil {
			t.Errorf("ip link set %s %s: %v, %s", netdev, state, err, out)
		}
	}
	faults := []func(transport.Incoming, transport.Outgoing){
		func(transport.Incoming, transport.Outgoing) {},
		func(transport.Incoming, transport.Outgoing) { link("down") },
		func(_ transport.Incoming, out transport.Outgoing) { _ = out.Close() },
		func(in transport.Incoming, _ transport.Outgoing) { _ = in.Close() },
	}
	names := []string{"none", "link down", "source closed", "target closed"}
	broken, tried := map[string]int{}, map[string]int{}
	moved, files, others := 0, 0, 0
	for end := time.Now().Add(total); time.Now().Before(end) && !t.Failed(); {
		limits := verbs.Limits{Slots: 2 << rnd.IntN(3), AckTimeout: 14, Retries: 3, Stall: 5 * time.Second, Rest: time.Millisecond, LongestRest: time.Millisecond}
		src, dst := newRealNode(t, limits), newRealNode(t, limits)
		for range 10 {
			chunk := 64 << 10 << rnd.IntN(7)
			size := 1 + rnd.IntN(16<<20>>rnd.IntN(12))
			if rnd.IntN(2) == 0 { // more chunks than there are slots, so that some are posted after the fault
				size = min(16<<20, (limits.Slots+1+rnd.IntN(12))*chunk+rnd.IntN(chunk))
			}
			data := make([]byte, size)
			_, _ = mrand.NewChaCha8([32]byte{byte(files), byte(files >> 8), byte(seed)}).Read(data)
			s := &soakSink{data: make([]byte, len(data)), landed: map[int64]int{}}
			for try := range 4 {
				chunks := s.missing(data, chunk)
				if len(chunks) == 0 {
					break
				}
				k := rnd.IntN(len(faults))
				after := time.Duration(rnd.IntN(200)) * time.Millisecond
				s.gate = &soakGate{left: rnd.IntN(len(chunks)), come: make(chan struct{}), opened: make(chan struct{})}
				if rnd.IntN(3) == 0 {
					s.gate.left = -1
				}
				tried[names[k]]++
				if err := soakAttempt(t, src, dst, s, chunks, int64(chunk), faults[k], after); err != nil {
					broken[names[k]]++
					t.Logf("file %d, try %d, %s after %s: %v", files, try, names[k], after, err)
				}
				up(t, src, netdev)
			}
			for _, c := range s.missing(data, chunk) { // by another path
				x := &c.Extents[0]
				s.Landed(t.Context(), 0, []transport.Arrival{{ExtentHeader: x.ExtentHeader, Code: transport.Placed, Mem: x.Bodies[0].Mem}})
				others++
			}
			for off, n := range s.landed {
				if n != 1 {
					t.Errorf("file %d: the extent at %d landed %d times", files, off, n)
				}
			}
			if !bytes.Equal(s.data, data) {
				t.Errorf("file %d: other bytes than those of the source", files)
			}
			files, moved = files+1, moved+len(data)
			if !time.Now().Before(end) || t.Failed() {
				break
			}
		}
		src.close(t)
		dst.close(t)
	}
	t.Logf("%d files, %d MiB, %d extents by another path, sessions that broke: %v of %v", files, moved>>20, others, broken, tried)
	for _, name := range names[1:] {
		if n := tried[name]; n >= enough && broken[name] == 0 {
			t.Errorf("%q broke none of %d sessions: this tests less than it should", name, n)
		}
	}
	if broken["none"] > 0 {
		t.Errorf("%d sessions broke without a fault", broken["none"])
	}
}

// up brings the link up and waits until there is a rail again.
func up(t *testing.T, n *realNode, netdev string) {
	t.Helper()
	if out, err := exec.Command("ip", "link", "set", netdev, "up").CombinedOutput(); err != nil {
		t.Fatalf("ip link set up: %v, %s", err, out)
	}
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		var rails []verbs.Rail
		if rails, err = n.rails(); err == nil && rails[0].Port.State == rdma.PortActive {
			return
		}
	}
	t.Fatal(fmt.Errorf("the port did not come back: %w", err))
}
