package verbs

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/rdma"
)

// version of what follows. Peers with another one do not talk.
const version = 1

// Kinds of messages of the control. The set-up is JSON after the byte of its
// kind; answers, which come all the time, are binary.
type kind byte

const (
	kindConnect kind = 'c' // source: its queue pairs
	kindReady   kind = 'r' // target: its queue pairs, and where to probe
	kindProbed  kind = 'p' // source: the probe is written
	kindGrant   kind = 'g' // target: the probe was right; slots
	kindAnswers kind = 'a' // target: what became of chunks; their slots are free
	kindEnd     kind = 'e' // source: no more chunks; target: all are answered
	kindFail    kind = 'f' // either: why it gives up
)

// offer is the Params of a grant.
type offer struct {
	Version int
	Rails   []offeredRail
	// Memory is the size of the memory that the edge lands in, 0 where it does in
	// slots. A source that does not know of it uses slots too.
	Memory int64 `json:",omitempty"`
}

// Limits of what a peer may offer: each address costs a look at the routes.
const (
	maxOffer = 64 << 10 // bytes
	maxRails = 16
	maxGIDs  = 64 // of a rail

	maxOfferedGIDs = 512 // of all rails, so that they fit maxOffer
)

func parseOffer(params []byte) (*offer, error) {
	var o offer
	if len(params) > maxOffer {
		return nil, fmt.Errorf("%w: a grant of %d bytes", errMessage, len(params))
	}
	if err := json.Unmarshal(params, &o); err != nil {
		return nil, fmt.Errorf("%w: grant: %w", errMessage, err)
	}
	if o.Version != version {
		return nil, fmt.Errorf("the peer speaks version %d, this node %d", o.Version, version)
	}
	if o.Memory < 0 {
		return nil, fmt.Errorf("%w: memory of %d bytes", errMessage, o.Memory)
	}
	if len(o.Rails) > maxRails {
		return nil, fmt.Errorf("%w: a grant of %d rails", errMessage, len(o.Rails))
	}
	for i := range o.Rails {
		if n := len(o.Rails[i].GIDs); n > maxGIDs {
			return nil, fmt.Errorf("%w: a grant of %d addresses of one port", errMessage, n)
		}
	}
	return &o, nil
}

// endpoint is one queue pair of the sender of a message.
type endpoint struct {
	Rail   int // index of the target's rail
	GID    rdma.GID
	To     rdma.GID // of the other end
	LID    uint16   `json:",omitempty"`
	MTU    rdma.MTU
	Number uint32
	PSN    uint32
}

type connect struct {
	Token     [32]byte
	UID       [16]byte
	Epoch     uint64
	ChunkSize int64
	Slots     int // at most so many are of use
	Pairs     []endpoint
	// InPlace: the source writes to the memory that was offered, and slots are cells
	// alone.
	InPlace bool `json:",omitempty"`
}

// window is memory of the target. Keys has one for each rail of connect.Pairs
// in order of their first pair.
type window struct {
	Addr uint64
	Keys []uint32
	Size int
}

type ready struct {
	Pairs []endpoint // one for each of connect.Pairs
	Slots int        // that the target has, at most connect.Slots
	Probe window     // probeSize for each pair
}

type probed struct {
	Slots int // that the source has, at most ready.Slots
}

type granted struct {
	Slots  []window // of ChunkSize, probed.Slots of them; none in place
	Cells  window   // cellSize for each slot
	Memory []part   `json:",omitempty"` // by offset, in place
}

// errMessage: the peer does not keep to the protocol.
var errMessage = errors.New("malformed message")

func encode(k kind, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of numbers
	}
	return append([]byte{byte(k)}, b...)
}

// decode reads a message of the kind that has to come now into v.
func decode(msg []byte, k kind, v any) error {
	switch {
	case len(msg) > 0 && kind(msg[0]) == kindFail:
		return parseFailure(msg[1:])
	case len(msg) == 0 || kind(msg[0]) != k:
		return fmt.Errorf("%w: %.1q where %q has to be", errMessage, msg, byte(k))
	case v == nil:
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(msg[1:]))
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %q: %w", errMessage, byte(k), err)
	}
	return nil
}

// An answer is the slot and its generation, the length of the frame, and an Ack
// frame of package wire.
const answerFixed = 8

func appendAnswer(dst []byte, slot, generation uint16, seq uint64, answers []wire.Answer) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, slot)
	dst = binary.LittleEndian.AppendUint16(dst, generation)
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = wire.AppendAck(dst, seq, answers)
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// eachAnswer calls f for the answers of a message. answers is only valid within f.
// room is memory for them, which it returns.
func eachAnswer(msg []byte, room []wire.Answer, f func(slot, generation uint16, seq uint64, answers []wire.Answer) error) ([]wire.Answer, error) {
	answers := room
	for b := msg[1:]; len(b) > 0; {
		if len(b) < answerFixed {
			return answers, fmt.Errorf("%w: %d bytes of an answer", errMessage, len(b))
		}
		slot, generation := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])
		n := int64(binary.LittleEndian.Uint32(b[4:]))
		if b = b[answerFixed:]; int64(len(b)) < n {
			return answers, fmt.Errorf("%w: an answer of %d bytes in %d", errMessage, n, len(b))
		}
		payload, _, err := frame(b[:n], wire.TypeAck)
		if err != nil {
			return answers, err
		}
		b = b[n:]
		var seq uint64
		if seq, answers, err = wire.DecodeAck(payload, answers); err != nil {
			return answers, err
		}
		if err := f(slot, generation, seq, answers); err != nil {
			return answers, err
		}
	}
	return answers, nil
}

// frame takes a frame of a type off the front of b and returns its payload and
// what follows.
func frame(b []byte, t wire.Type) (payload, rest []byte, err error) {
	if len(b) < wire.PrefixSize {
		return nil, nil, fmt.Errorf("%w: %d bytes of a frame", wire.ErrBroken, len(b))
	}
	p, err := wire.DecodePrefix(b[:wire.PrefixSize])
	if err != nil {
		return nil, nil, err
	}
	b = b[wire.PrefixSize:]
	if p.Type != t || p.Length > len(b) {
		return nil, nil, fmt.Errorf("%w: frame type %#x of %d bytes in %d", wire.ErrBroken, uint16(p.Type), p.Length, len(b))
	}
	return b[:p.Length], b[p.Length:], p.Check(b[:p.Length])
}

// immediate tells the target which slot was filled, for which generation of it.
func immediate(slot, generation uint16) uint32 { return uint32(slot)<<16 | uint32(generation) }

// probeImmediate is that of the probe of a queue pair. Slots are fewer.
func probeImmediate(pair int) uint32 { return 0xffff0000 | uint32(pair) }

func splitImmediate(imm uint32) (slot, generation uint16) { return uint16(imm >> 16), uint16(imm) }
