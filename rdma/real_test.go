package rdma_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/test/lab"
)

// The tests named TestReal run where there is a device: in the lab, which
// TestLab starts, or with XFER_RDMA_DEVICE set to the name of one.

// TestLab runs them on SoftRoCE in a virtual machine.
func TestLab(t *testing.T) {
	lab.RunTests(t, lab.TestJob{Run: "^TestReal", Job: lab.Job{Timeout: 12 * time.Minute}})
}

// realSystem returns the system and a device of it that is there.
func realSystem(t *testing.T) (*rdma.System, string) {
	t.Helper()
	name := os.Getenv("XFER_RDMA_DEVICE")
	if name == "" {
		name = os.Getenv(lab.EnvDevice)
	}
	if name == "" {
		t.Skip("no device: XFER_RDMA_DEVICE, or the lab")
	}
	sys, err := rdma.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if live := sys.Live(); len(live) > 0 {
			t.Errorf("still open: %v", live)
		}
	})
	return sys, name
}

func realDevice(t *testing.T) *rdma.Device {
	t.Helper()
	sys, name := realSystem(t)
	d, err := sys.OpenDevice(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// realPair returns two ends that are connected to each other; the first may
// write to the second.
func realPair(t *testing.T) (source, target *end) {
	t.Helper()
	sys, name := realSystem(t)
	source = realEnd(t, sys, name, rdma.LocalWrite, 0)
	target = realEnd(t, sys, name, rdma.LocalWrite|rdma.RemoteWrite, rdma.RemoteWrite)
	if err := errors.Join(target.connect(source.address()), source.connect(target.address())); err != nil {
		t.Fatal(err)
	}
	return source, target
}

func realEnd(t *testing.T, sys *rdma.System, device string, memory, queue rdma.Access) *end {
	t.Helper()
	e, err := newEnd(sys, device, memory, queue)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// write is a request for n bytes from offset on, to the same offset.
func (e *end) write(id uint64, to address, offset, n int, flags rdma.SendFlags) rdma.SendRequest {
	return rdma.SendRequest{ID: id, Op: rdma.OpWrite, Flags: flags, RemoteAddr: to.RemoteAddr + uint64(offset), RemoteKey: to.RemoteKey,
		NumSGE: 1, SGE: [rdma.MaxSGE]rdma.SGE{e.mr.Element(offset, n)}}
}

// soon is a context for what should not take long.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestRealSuite is what every driver promises. Both ends are the one device.
func TestRealSuite(t *testing.T) {
	sys, name := realSystem(t)
	end := rdmatest.End{System: sys, Device: name}
	rdmatest.RunDriver(t, func(*testing.T) rdmatest.Rig { return rdmatest.Rig{A: end, B: end} })
}

func TestRealExample(t *testing.T) {
	sys, name := realSystem(t)
	var out strings.Builder
	if err := writeToPeer(&out, sys, name); err != nil {
		t.Fatal(err)
	}
	if want := "the peer finds \"hello, peer\"\n"; out.String() != want {
		t.Errorf("it prints %q, want %q", out.String(), want)
	}
}

func TestRealDeviceDescribesItself(t *testing.T) {
	sys, name := realSystem(t)
	devices, err := sys.Devices()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, d := range devices {
		t.Logf("%+v", d)
		found = found || d.Name == name && d.Supported && d.Transport == "InfiniBand"
	}
	if !found {
		t.Errorf("%s is not among them", name)
	}
	d := realDevice(t)
	attr, err := d.Attr()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", attr)
	if attr.Ports < 1 || attr.MaxQueuePairRequests < 128 || attr.MaxMemoryRegionSize == 0 || attr.MaxReadsAsTarget < 1 {
		t.Errorf("limits: %+v", attr)
	}
	p, err := d.Port(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", p)
	if p.State != rdma.PortActive || p.ActiveMTU.Bytes() < 1024 || p.MaxMTU < p.ActiveMTU || p.MaxMessage < 1<<20 || p.GIDTableLen < 1 || p.Speed == 0 {
		t.Errorf("port: %+v", p)
	}
	if _, err := d.Port(9); err == nil {
		t.Error("port 9 is there")
	}
	gids, err := d.GIDs()
	if err != nil || len(gids) == 0 {
		t.Fatalf("GIDs: %v, %v", gids, err)
	}
	own := os.Getenv(lab.EnvAddr)
	mine := false
	for _, g := range gids {
		t.Logf("%+v", g)
		mine = mine || g.Type == rdma.GIDRoCEv2 && g.GID.Addr().String() == own && g.Interface > 0
	}
	if own != "" && !mine {
		t.Errorf("no entry of RoCE v2 for %s", own)
	}
}

func TestRealWriteAndImmediate(t *testing.T) {
	source, target := realPair(t)
	peer := target.address()
	for i := range source.mr.Bytes() {
		source.mr.Bytes()[i] = byte(i * 7)
	}
	if _, err := target.qp.PostReceive([]rdma.ReceiveRequest{{ID: 77}}); err != nil {
		t.Fatal(err)
	}
	r := source.write(5, peer, 0, len(source.memory), rdma.Signaled)
	r.Op, r.Imm = rdma.OpWriteWithImm, 0x01020304
	if n, err := source.qp.PostSend([]rdma.SendRequest{r}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	sent, err := source.next(soon(t))
	if err != nil || sent.ID != 5 || sent.Op != rdma.CompletedWrite || sent.QueuePair != source.qp.Number() {
		t.Errorf("sent: %+v, %v", sent, err)
	}
	got, err := target.next(soon(t))
	if err != nil || got.ID != 77 || got.Op != rdma.CompletedReceiveWithImm || got.Flags != rdma.HasImm || got.Imm != 0x01020304 ||
		int(got.Bytes) != len(source.memory) || got.QueuePair != target.qp.Number() {
		t.Errorf("received: %+v, %v", got, err)
	}
	if !bytes.Equal(source.memory, target.memory) {
		t.Error("the bytes differ")
	}
}

func TestRealAddressIsChecked(t *testing.T) {
	sys, name := realSystem(t)
	e := realEnd(t, sys, name, 0, 0)
	good := rdma.AddressVector{Port: 1, Global: true, DestGID: e.gid.GID, SourceIndex: e.gid.Index, HopLimit: 64}
	if err := e.pd.CheckAddress(good); err != nil {
		t.Error(err)
	}
	empty := good
	empty.SourceIndex = 200
	if err := e.pd.CheckAddress(empty); err == nil {
		t.Error("an empty entry of the GID table works")
	} else {
		t.Log(err)
	}
}
