package faults

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/faults/proxy"
)

// stall holds up the data of the first transfer that comes, after its first chunks.
type stall struct {
	mu    sync.Mutex
	first [16]byte
	once  sync.Once
	began chan struct{} // closed when something waits
	off   atomic.Bool
}

func newStall() *stall { return &stall{began: make(chan struct{})} }

func (s *stall) judge(p *proxy.Part) proxy.Verdict {
	if p.Place != proxy.Payload || p.Chunk < 2 || s.off.Load() {
		return proxy.Pass
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == [16]byte{} {
		s.first = p.UID
	}
	if s.first != p.UID {
		return proxy.Pass
	}
	s.once.Do(func() { close(s.began) })
	return proxy.Stall
}

// other copies another tree to another place, while the first transfer is what it is.
func (x *network) other() {
	x.t.Helper()
	src, dst := filepath.Join(x.nodes[owner].data(), "other"), filepath.Join(x.to.data(), "d", "other")
	if err := x.s.source.make(src); err != nil {
		x.t.Fatal(err)
	}
	y := &network{run: &run{rig: x.rig, s: x.s, src: src, dst: dst, to: x.to}, t: x.t}
	tr := y.copies("other")
	if tr.GetState() != xferv1.State_STATE_SUCCEEDED || moved(tr) != big {
		x.t.Errorf("beside one that stalls another one ended %v, %d bytes moved", tr.GetState(), moved(tr))
	}
	if err := x.s.after.equal(dst); err != nil {
		x.t.Error(err)
	}
}

// TestStalledDataHoldsUpNobodyElse: while the streams of one transfer stand still, another
// one between the same nodes moves all of its bytes.
func TestStalledDataHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	s := newStall()
	x := newNetwork(t, proxy.Config{Judge: s.judge}, proxy.Config{})
	if _, err := x.submit(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	<-s.began
	x.other()
	resp, err := x.nodes[owner].client().GetTransfer(t.Context(), &xferv1.GetTransferRequest{Name: transferName("one")})
	if err != nil || resp.GetTransfer().GetState() != xferv1.State_STATE_RUNNING {
		t.Errorf("the one that stalls is %v, %v", resp.GetTransfer().GetState(), err)
	}
	s.off.Store(true)
	x.data.Release()
	if _, sent := x.succeeds(); sent != big {
		t.Errorf("%d bytes were moved, want %d: a stall is no loss", sent, big)
	}
}

// standStill stops a child of this process, and returns when it stands. The signal is for
// one thread, which tells the others when it gets its turn: until then they go on, on a
// busy machine for long enough to end a transfer.
func standStill(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err
		}
	}
}

// TestStallEndsByTheWatchdog: what stands still for times.stall fails with STALLED, and
// the same command goes on when it can.
func TestStallEndsByTheWatchdog(t *testing.T) {
	for _, what := range []string{"data", "target"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newStall()
			if what == "target" {
				s.off.Store(true)
			}
			pid, stopped := make(chan int, 1), make(chan error, 1)
			var once sync.Once
			x := newNetwork(t, proxy.Config{Judge: func(p *proxy.Part) proxy.Verdict {
				if what == "target" && p.Place == proxy.Payload && p.Chunk >= 2 {
					once.Do(func() { stopped <- standStill(<-pid) })
				}
				return s.judge(p)
			}}, proxy.Config{}, "--times-stall=2s")
			process := x.nodes[target].cmd.Process
			pid <- process.Pid
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("%d connections of the data plane\n%s\n%s", x.data.Conns(), tail(x.nodes[owner].text()), tail(x.nodes[target].text()))
				}
			})
			x.fails("STALLED")
			if what == "target" {
				if err := <-stopped; err != nil {
					t.Error(err)
				}
			}
			s.off.Store(true)
			if what == "data" {
				x.data.Release()
			} else {
				_ = process.Signal(syscall.SIGCONT)
			}
			if err := x.awaitFree(t.Context()); err != nil {
				t.Fatal(err)
			}
			tr := x.copies("again")
			if tr.GetState() != xferv1.State_STATE_SUCCEEDED || moved(tr) > big {
				t.Errorf("the same command again ended %v, %d bytes moved: %v", tr.GetState(), moved(tr), tr.GetError())
			}
			if err := x.s.after.equal(x.dst); err != nil {
				t.Error(err)
			}
			x.settles()
		})
	}
}

// TestP1P4ControlStreamsAreCut: the control plane is cut at any place, in any way, and
// the transfer goes on.
func TestP1P4ControlStreamsAreCut(t *testing.T) {
	for how, v := range map[string]proxy.Verdict{"truncated": proxy.Truncate, "half closed": proxy.HalfClose, "reset": proxy.Reset} {
		for _, back := range []bool{false, true} {
			for _, at := range []int64{1, 200, 700, 1200} {
				t.Run(fmt.Sprintf("%s at %d, back %v", how, at, back), func(t *testing.T) {
					t.Parallel()
					var cuts atomic.Int32
					x := newNetwork(t, proxy.Config{}, proxy.Config{Judge: func(p *proxy.Part) proxy.Verdict {
						end := p.Offset + int64(len(p.Bytes))
						if p.Back == back && p.Offset <= at && at < end && cuts.Add(1) <= 2 {
							p.Bytes = p.Bytes[:at-p.Offset]
							return v
						}
						return proxy.Pass
					}})
					x.succeeds()
					t.Logf("cut %d times", min(2, cuts.Load()))
				})
			}
		}
	}
}
