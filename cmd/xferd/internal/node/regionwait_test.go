package node

import (
	"bytes"
	"context"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/region"
)

// foreign makes a region of node i whose memory is not there yet.
func (p *pair) foreign(t *testing.T, i int, id string, size int64) {
	t.Helper()
	if _, err := p.nodes[i].regions.Create(t.Context(), region.Spec{ID: id, Principal: "uid:0", Size: size, Foreign: true, Readers: []string{"*"}, Writers: []string{"*"}, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
}

// offer gives a region its memory, with the bytes b, as the program does that has it.
func (p *pair) offer(t *testing.T, i int, id string, b []byte) {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_ALLOW_SEALING|unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	memory := os.NewFile(uintptr(fd), "memory")
	defer memory.Close()
	if _, err := memory.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW); err != nil {
		t.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for k, fd := range fds {
		f := os.NewFile(uintptr(fd), "end")
		c, err := net.FileConn(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[k] = c.(*net.UnixConn)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = p.nodes[i].regions.ServeConn(context.Background(), ends[1], "uid:0")
	}()
	t.Cleanup(func() {
		_ = ends[0].Close()
		<-served
	})
	if _, _, err := ends[0].WriteMsgUnix([]byte("XFERREG1 offer "+id+"\n"), unix.UnixRights(fd), nil); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 256)
	n, err := ends[0].Read(answer)
	if err != nil || !bytes.HasPrefix(answer[:n], []byte("ok ")) {
		t.Fatalf("answer %q, %v", answer[:n], err)
	}
}

// A region whose memory is not there is waited for, on either side, as a node is
// that cannot be reached; the transfer goes on when the program offers the memory.
func TestTransferWaitsForMemory(t *testing.T) {
	const size = 1 << 20
	for i, name := range []string{"source", "target"} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, t.TempDir())
			ids := [2]string{"a", "b"}
			p.foreign(t, i, ids[i], size)
			a := bytesOf(size, 3)
			if i == 0 {
				p.region(t, 1, "b", make([]byte, size))
			} else {
				p.region(t, 0, "a", a)
			}
			ctx := t.Context()
			tr, err := p.client.Submit(ctx, "", &xferv1.TransferSpec{
				SourceNode: "n1", Sources: []*xferv1.Source{regionSource("a", 0, nil)}, TargetNode: "n2", Destination: regionDestination("b", 0),
			})
			if err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
				now, err := p.client.Get(ctx, tr.GetName())
				if err != nil {
					t.Fatal(err)
				}
				if now.GetWaitingReason() == "REGION_DETACHED" && now.GetState() == xferv1.State_STATE_RUNNING {
					break
				}
				if now.GetState() > xferv1.State_STATE_CANCELLING || time.Now().After(deadline) {
					t.Fatalf("it is %v and waits for %q: %v", now.GetState(), now.GetWaitingReason(), now.GetError())
				}
			}
			p.offer(t, i, ids[i], a)
			done, err := p.client.Wait(ctx, tr.GetName())
			if err == nil {
				err = client.TransferError(done)
			}
			if err != nil {
				t.Fatal(err)
			}
			p.memory(t, 1, "b", func(mem []byte) {
				if !bytes.Equal(mem, a) {
					t.Error("the region is another one")
				}
			})
		})
	}
}
