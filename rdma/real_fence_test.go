package rdma_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/test/lab"
)

// TestRealP10CloseOfAQueuePairIsTheFence closes the target's queue pair in the
// middle of writes: from then on no byte changes, and the writer learns it.
func TestRealP10CloseOfAQueuePairIsTheFence(t *testing.T) {
	for range 5 {
		source, target := realPair(t)
		peer := target.address()
		for i := range source.memory {
			source.memory[i] = 0xff
		}
		rs := make([]rdma.SendRequest, 64)
		for i := range rs {
			rs[i] = source.write(uint64(i), peer, 0, len(source.memory), rdma.Signaled)
		}
		if _, err := source.qp.PostSend(rs); err != nil {
			t.Fatal(err)
		}
		if err := source.collect(t, 1)[0].Err(); err != nil { // under way
			t.Fatal(err)
		}
		if err := target.qp.Close(); err != nil {
			t.Fatal(err)
		}
		copy(target.memory, bytes.Repeat([]byte{0x11}, len(target.memory)))
		var last rdma.WorkCompletion
		for range len(rs) { // until the first that failed; all others follow
			if last = source.collect(t, 1)[0]; last.Err() != nil {
				break
			}
		}
		if last.Status != rdma.RetryExceeded {
			t.Errorf("the writer gets %+v", last)
		}
		for i, b := range target.memory {
			if b != 0x11 {
				t.Fatalf("byte %d was written after the fence", i)
			}
		}
		if err := errors.Join(target.mr.Close(), source.qp.Close(), source.mr.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRealOrderOfClose: parents stay while children live, and memory that was
// deregistered is out of reach at once.
func TestRealOrderOfClose(t *testing.T) {
	source, target := realPair(t)
	for name, err := range map[string]error{"device": target.device.Close(), "domain": target.pd.Close(), "channel": target.channel.Close(), "queue": target.cq.Close()} {
		if !errors.Is(err, rdma.ErrBusy) {
			t.Errorf("Close of the %s: %v", name, err)
		}
	}
	peer := target.address()
	if err := target.mr.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := source.qp.PostSend([]rdma.SendRequest{source.write(1, peer, 0, 100, rdma.Signaled), source.write(2, peer, 0, 100, rdma.Signaled)}); err != nil {
		t.Fatal(err)
	}
	all := source.collect(t, 2)
	if all[0].Status != rdma.RemoteAccessError || all[1].Status != rdma.Flushed {
		t.Errorf("writes without a region: %+v", all)
	}
	if s, err := source.qp.State(); err != nil || s != rdma.StateError {
		t.Errorf("the writer is in %s, %v", s, err)
	}
}

// TestRealDeviceThatIsPulledOut deletes the network device under an RDMA device
// in the middle of writes: everything ends and can be closed. The deletion itself
// waits for that: an open queue pair holds its address.
func TestRealDeviceThatIsPulledOut(t *testing.T) {
	if os.Getenv(lab.EnvNetdev) == "" {
		t.Skip("only in the lab")
	}
	sys, _ := realSystem(t)
	run(t, "ip", "link", "add", "pull0", "type", "veth", "peer", "name", "pull1")
	run(t, "ip", "link", "set", "pull1", "up")
	run(t, "lab-rxe", "rxepull", "pull0", "10.88.0.1")
	del := exec.Command("ip", "link", "del", "pull0")
	t.Cleanup(func() {
		if err := del.Wait(); err != nil {
			t.Error(err)
		}
	})
	source := realEnd(t, sys, "rxepull", rdma.LocalWrite, 0)
	target := realEnd(t, sys, "rxepull", rdma.LocalWrite|rdma.RemoteWrite, rdma.RemoteWrite)
	if err := errors.Join(target.connect(source.address()), source.connect(target.address())); err != nil {
		t.Fatal(err)
	}
	peer := target.address()
	rs := make([]rdma.SendRequest, 64)
	for i := range rs {
		rs[i] = source.write(uint64(i), peer, 0, len(source.memory), rdma.Signaled)
	}
	if _, err := source.qp.PostSend(rs); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := del.Start(); err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	// Linux 6.1 tells no more than that the addresses changed.
	e, err := source.device.NextEvent(ctx)
	t.Logf("after %s: %v, %v", time.Since(start), e, err)
	if err != nil {
		t.Error(err)
	}
	for {
		wc, err := source.next(ctx)
		if err != nil {
			t.Logf("after %s: %+v: %v", time.Since(start), wc, err)
			break
		}
	}
	p, err := source.device.Port(1)
	t.Logf("port %+v, %v", p, err)
}

// TestRealRateIsReported says what this rig moves; it asserts nothing of it.
func TestRealRateIsReported(t *testing.T) {
	source, target := realPair(t)
	peer := target.address()
	const depth, total = 16, 128
	r := []rdma.SendRequest{source.write(0, peer, 0, len(source.memory), rdma.Signaled)}
	start := time.Now()
	for posted, done := 0, 0; done < total; {
		for ; posted < total && posted-done < depth; posted++ {
			if _, err := source.qp.PostSend(r); err != nil {
				t.Fatal(err)
			}
		}
		for _, wc := range source.collect(t, 1) {
			if wc.Err() != nil {
				t.Fatal(wc.Err())
			}
			done++
		}
	}
	took := time.Since(start)
	t.Logf("%d MiB in %s: %.2f Gb/s", total, took.Round(time.Millisecond), float64(total)*8*(1<<20)/1e9/took.Seconds())
}
