package rdma_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"syscall"

	"github.com/xferd/xferd/rdma"
)

// Example writes into the memory of a peer. It runs only by hand, since it needs
// a device; both ends are in one program here, and the struct address is what
// two programs would send to each other over a connection of theirs.
func Example() {
	sys, err := rdma.Open()
	if err != nil {
		log.Fatal(err) // says why there is no RDMA, and what to do
	}
	devices, err := sys.Devices()
	if err != nil {
		log.Fatal(err)
	}
	if err := writeToPeer(os.Stdout, sys, devices[0].Name); err != nil {
		log.Fatal(err)
	}
	// Prints: the peer finds "hello, peer"
}

// address is what an end tells the other one.
type address struct {
	GID        rdma.GID
	MTU        rdma.MTU
	Number     uint32 // of the queue pair
	PSN        uint32 // the first that it sends
	RemoteAddr uint64 // where it may be written to
	RemoteKey  uint32
}

func writeToPeer(out io.Writer, sys *rdma.System, device string) (err error) {
	source, err := newEnd(sys, device, rdma.LocalWrite, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := newEnd(sys, device, rdma.LocalWrite|rdma.RemoteWrite, rdma.RemoteWrite)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()

	// The target posts a receive before anybody can send to it: its completion
	// tells that the data is there.
	if _, err := target.qp.PostReceive([]rdma.ReceiveRequest{{ID: 1}}); err != nil {
		return err
	}
	if err := target.connect(source.address()); err != nil {
		return err
	}
	if err := source.connect(target.address()); err != nil {
		return err
	}

	peer := target.address()
	n := copy(source.mr.Bytes(), "hello, peer")
	_, err = source.qp.PostSend([]rdma.SendRequest{
		{Op: rdma.OpWrite, RemoteAddr: peer.RemoteAddr, RemoteKey: peer.RemoteKey, NumSGE: 1, SGE: [rdma.MaxSGE]rdma.SGE{source.mr.Element(0, n)}},
		{ID: 2, Op: rdma.OpWriteWithImm, Imm: uint32(n), Flags: rdma.Signaled}, // no bytes, so no address
	})
	if err != nil {
		return err
	}
	if _, err := source.next(context.Background()); err != nil {
		return err // what was written may have landed, or not
	}
	arrived, err := target.next(context.Background())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "the peer finds %q\n", target.mr.Bytes()[:arrived.Imm])
	return err
}

// end is one end of a connection. Its objects are in the order of their making.
type end struct {
	device  *rdma.Device
	pd      *rdma.ProtectionDomain
	channel *rdma.CompletionChannel
	cq      *rdma.CompletionQueue
	memory  []byte
	mr      *rdma.MemoryRegion
	qp      *rdma.QueuePair

	gid rdma.GIDEntry
	mtu rdma.MTU
	psn uint32
}

const port = 1

func newEnd(sys *rdma.System, device string, memory, queue rdma.Access) (e *end, err error) {
	e = &end{psn: rand.Uint32() >> 8}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if e.device, err = sys.OpenDevice(device); err != nil {
		return e, err
	}
	attr, err := e.device.Port(port)
	if err != nil {
		return e, err
	}
	if attr.State != rdma.PortActive {
		return e, fmt.Errorf("port %d is %s", port, attr.State)
	}
	e.mtu = attr.ActiveMTU
	if e.gid, err = bestGID(e.device); err != nil {
		return e, err
	}
	if e.pd, err = e.device.AllocProtectionDomain(); err != nil {
		return e, err
	}
	if e.channel, err = e.device.CreateCompletionChannel(); err != nil {
		return e, err
	}
	if e.cq, err = e.device.CreateCompletionQueue(256, e.channel); err != nil {
		return e, err
	}
	// Memory that the garbage collector knows nothing of.
	if e.memory, err = syscall.Mmap(-1, 0, 1<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE); err != nil {
		return e, err
	}
	if e.mr, err = e.pd.Register(e.memory, memory); err != nil {
		return e, err
	}
	if e.qp, err = e.pd.CreateQueuePair(rdma.QueuePairConfig{MaxSend: 128, MaxReceive: 128}, e.cq, e.cq); err != nil {
		return e, err
	}
	return e, e.qp.ToInit(rdma.InitAttr{Port: port, Access: queue})
}

// bestGID prefers RoCE v2, and of those an IPv4 address. A real program asks for
// the route to its peer first.
func bestGID(d *rdma.Device) (rdma.GIDEntry, error) {
	gids, err := d.GIDs()
	if err != nil {
		return rdma.GIDEntry{}, err
	}
	for _, v4 := range []bool{true, false} {
		for _, g := range gids {
			if g.Port == port && g.Type == rdma.GIDRoCEv2 && g.GID.Addr().Is4() == v4 {
				return g, nil
			}
		}
	}
	return rdma.GIDEntry{}, errors.New("no address of RoCE v2")
}

func (e *end) address() address {
	return address{GID: e.gid.GID, MTU: e.mtu, Number: e.qp.Number(), PSN: e.psn, RemoteAddr: e.mr.Addr(), RemoteKey: e.mr.RemoteKey()}
}

func (e *end) connect(peer address) error {
	if err := e.qp.ToReadyToReceive(rdma.ReadyToReceiveAttr{
		Address:    rdma.AddressVector{Port: port, Global: true, DestGID: peer.GID, SourceIndex: e.gid.Index, HopLimit: 64},
		PathMTU:    min(e.mtu, peer.MTU),
		DestNumber: peer.Number, PSN: peer.PSN, MaxReads: 1, MinRNRTimer: 12,
	}); err != nil {
		return err
	}
	return e.qp.ToReadyToSend(rdma.ReadyToSendAttr{PSN: e.psn, Timeout: 14, RetryCount: 6, RNRRetry: 6, MaxReads: 1})
}

// next waits for one completion.
func (e *end) next(ctx context.Context) (rdma.WorkCompletion, error) {
	var wcs [1]rdma.WorkCompletion
	for {
		// Ask first, look then: a completion in between would be missed.
		if err := e.cq.RequestNotify(false); err != nil {
			return wcs[0], err
		}
		if n, err := e.cq.Poll(wcs[:]); err != nil || n > 0 {
			return wcs[0], errors.Join(err, wcs[0].Err())
		}
		if err := e.channel.Wait(ctx); err != nil {
			return wcs[0], err
		}
	}
}

// Close closes what there is, children first. Memory is let go only when the
// device let go of it.
func (e *end) Close() error {
	var errs []error
	stop := func(c io.Closer) bool {
		err := c.Close()
		errs = append(errs, err)
		return err == nil
	}
	free := true
	if e.qp != nil {
		free = stop(e.qp)
	}
	if e.mr != nil {
		free = stop(e.mr) && free
	}
	if e.memory != nil && free {
		errs = append(errs, syscall.Munmap(e.memory))
	}
	if e.cq != nil {
		stop(e.cq)
	}
	if e.channel != nil {
		stop(e.channel)
	}
	if e.pd != nil {
		stop(e.pd)
	}
	if e.device != nil {
		stop(e.device)
	}
	return errors.Join(errs...)
}
