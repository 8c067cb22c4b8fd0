package wire

import "encoding/binary"

// Version of the data plane. Peers with another major version do not talk;
// minor versions and features say what else a peer understands.
const (
	Major = 1
	Minor = 0
)

// Magic opens the hello and the reply.
const Magic = "xferdat1"

// Sizes in bytes. They and the place of magic, major and minor stay the same in
// all versions, so that any two versions can refuse each other properly.
const (
	MagicSize = len(Magic)
	HelloSize = 88
	ReplySize = 32
)

// Features are bits of what a connection can or does.
type Features uint32

// Verifies, in a reply: the target compares digests on this connection.
const Verifies Features = 1

// Hello is what the source sends first on a connection.
type Hello struct {
	Major, Minor uint16
	Features     Features // what the source offers; unknown ones are ignored
	UID          [16]byte
	Epoch        uint64
	Stream       uint32 // number of the stream within the edge
	Token        [32]byte
}

// AppendHello appends h in HelloSize bytes.
func AppendHello(dst []byte, h *Hello) []byte {
	at := len(dst)
	dst = append(dst, Magic...)
	dst = binary.LittleEndian.AppendUint16(dst, h.Major)
	dst = binary.LittleEndian.AppendUint16(dst, h.Minor)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.Features))
	dst = append(dst, h.UID[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, h.Epoch)
	dst = binary.LittleEndian.AppendUint32(dst, h.Stream)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = append(dst, h.Token[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	return binary.LittleEndian.AppendUint32(dst, sum(dst[at:]))
}

// DecodeHello reads a hello. The version is not judged: the caller does, since a
// hello of another major version may have another checksum.
func DecodeHello(b []byte) (Hello, error) {
	var h Hello
	if len(b) != HelloSize || string(b[:MagicSize]) != Magic {
		return h, broken("not a hello")
	}
	h.Major = binary.LittleEndian.Uint16(b[8:])
	h.Minor = binary.LittleEndian.Uint16(b[10:])
	if h.Major != Major {
		return h, nil
	}
	if sum(b[:HelloSize-4]) != binary.LittleEndian.Uint32(b[HelloSize-4:]) {
		return h, broken("checksum of the hello")
	}
	h.Features = Features(binary.LittleEndian.Uint32(b[12:]))
	copy(h.UID[:], b[16:])
	h.Epoch = binary.LittleEndian.Uint64(b[32:])
	h.Stream = binary.LittleEndian.Uint32(b[40:])
	copy(h.Token[:], b[48:])
	return h, nil
}

// Verdict is the target's answer to a hello.
type Verdict uint16

// Answers to a hello. A token that is unknown, used, of another edge or of a
// stale epoch is always just Denied: the peer learns nothing from it.
const (
	Accepted   Verdict = 0
	NotHello   Verdict = 1
	BadVersion Verdict = 2
	Denied     Verdict = 3
	Busy       Verdict = 4
)

func (v Verdict) String() string {
	switch v {
	case Accepted:
		return "accepted"
	case NotHello:
		return "malformed hello"
	case BadVersion:
		return "version not supported"
	case Denied:
		return "denied"
	case Busy:
		return "too many connections are being opened"
	}
	return "refused for an unknown reason"
}

// Reply answers a hello. The version is that of the target.
type Reply struct {
	Major, Minor uint16
	Features     Features // what holds for this connection
	Verdict      Verdict
}

// AppendReply appends r in ReplySize bytes.
func AppendReply(dst []byte, r *Reply) []byte {
	at := len(dst)
	dst = append(dst, Magic...)
	dst = binary.LittleEndian.AppendUint16(dst, r.Major)
	dst = binary.LittleEndian.AppendUint16(dst, r.Minor)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(r.Features))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(r.Verdict))
	dst = append(dst, make([]byte, 10)...)
	return binary.LittleEndian.AppendUint32(dst, sum(dst[at:]))
}

// DecodeReply reads a reply. As with the hello, one of another major version is
// told by Major alone.
func DecodeReply(b []byte) (Reply, error) {
	var r Reply
	if len(b) != ReplySize || string(b[:MagicSize]) != Magic {
		return r, broken("not a reply to a hello")
	}
	r.Major = binary.LittleEndian.Uint16(b[8:])
	r.Minor = binary.LittleEndian.Uint16(b[10:])
	if r.Major != Major {
		r.Verdict = BadVersion
		return r, nil
	}
	if sum(b[:ReplySize-4]) != binary.LittleEndian.Uint32(b[ReplySize-4:]) {
		return r, broken("checksum of the reply")
	}
	r.Features = Features(binary.LittleEndian.Uint32(b[12:]))
	r.Verdict = Verdict(binary.LittleEndian.Uint16(b[16:]))
	return r, nil
}
