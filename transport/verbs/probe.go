package verbs

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/xferd/xferd/rdma"
)

// A queue pair that was brought up without an error can still be of no use: the
// path may drop large packets, and a packet sequence number that is behind makes
// the peer acknowledge what it drops. So each one is tried: a byte, then a
// pattern of four packets, then an immediate; the target looks at its memory.

// probeSize is the memory of the probe of one queue pair.
const probeSize = 4*4096 + 64

// errProbe: the probe was not what was sent.
var errProbe = errors.New("a probe did not arrive as it was sent")

// pattern is what the probe of a queue pair writes.
func pattern(token *[32]byte, pair int, mtu rdma.MTU) []byte {
	seed := *token
	seed[0] ^= byte(pair)
	seed[1] ^= byte(pair >> 8)
	b := make([]byte, 1+4*mtu.Bytes())
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

// probeRequests are the work requests of a probe; its pattern is at the start of
// source.
func probeRequests(source *rdma.MemoryRegion, n, index int, remote uint64, key uint32) []rdma.SendRequest {
	one, rest := source.Element(0, 1), source.Element(1, n-1)
	reqs := []rdma.SendRequest{
		{ID: unsignaledID, Op: rdma.OpWrite, RemoteAddr: remote, RemoteKey: key, NumSGE: 1},
		{ID: unsignaledID, Op: rdma.OpWrite, RemoteAddr: remote + 1, RemoteKey: key, NumSGE: 1},
		{Op: rdma.OpWriteWithImm, Imm: probeImmediate(index), Flags: rdma.Signaled | rdma.Solicited, ID: probeID},
	}
	reqs[0].SGE[0], reqs[1].SGE[0] = one, rest
	return reqs
}

// clearProbe makes the memory of a probe differ from what it will be in every byte:
// one that is not written shows, whatever the pattern is.
func clearProbe(memory []byte, token *[32]byte, pair int, mtu rdma.MTU) {
	for i, b := range pattern(token, pair, mtu) {
		memory[i] = ^b
	}
}

// checkProbe compares what a probe left with what it had to.
func checkProbe(got []byte, token *[32]byte, pair int, mtu rdma.MTU) error {
	want := pattern(token, pair, mtu)
	if !bytes.Equal(got[:len(want)], want) {
		return fmt.Errorf("%w (queue pair %d of the session, MTU %d)", errProbe, pair, mtu.Bytes())
	}
	return nil
}

// probeID is the work request id of probes; those of chunks are smaller.
const probeID = 1 << 63
