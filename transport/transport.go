// Package transport is the contract of the data plane: how bytes cross one
// edge, from the node that has them (source) to the node that wants them
// (target). It holds the types that every transport shares; the transports
// themselves are sub-packages (tcp, local), and transporttest holds the
// conformance suite that each of them passes.
//
// It is not the place for what a transfer is: which files, in which order,
// under which names. That is package transfer, which implements [Feed] on the
// source and [Sink] on the target.
//
// Life of an edge: the target calls [Acceptor.Prepare] and sends the [Grant]
// to the source over the control stream; the source calls [Dialer.Dial] with it
// and [Outgoing.Run] with its feed. [Incoming.Close] is the fence: after it
// returned no byte of that edge and epoch can land any more.
package transport

import (
	"context"
	"os"
	"time"
)

// Names of the transports, as they appear in grants, status and metrics.
const (
	TCP   = "tcp"
	Local = "local"
	RDMA  = "rdma"
)

// MaxExtents is the largest number of extents in one chunk.
const MaxExtents = 512

// MaxSegments is the largest number of data segments in one extent. A source
// file with more, smaller holes in one extent has the smallest holes sent as
// zeros.
const MaxSegments = 256

// Digest is an XXH3-128 over the whole content of an extent, holes included as
// zeros, in the canonical big-endian form. The zero value stands for "none".
type Digest [16]byte

// IsZero reports whether there is no digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// Edge names one parent to child link. Epochs are issued by the owner of the
// transfer and only ever rise; a stale one is refused.
type Edge struct {
	UID   [16]byte // the transfer's server-made uid
	Epoch uint64
	Peer  string // node id of the other end, for messages and metrics
}

// Range is a half-open byte range [Offset, Offset+Length) of an entry.
type Range struct{ Offset, Length int64 }

// End returns the offset after the last byte.
func (r Range) End() int64 { return r.Offset + r.Length }

// ExtentHeader describes an extent on its way: (entry, offset, length) with the
// ranges of it that carry data. Bytes outside Segments are a hole and read as
// zeros. Offsets are absolute within the entry.
type ExtentHeader struct {
	Entry          uint64
	Offset, Length int64
	// Segments are ascending, disjoint, non-empty and inside the extent. None
	// at all means that the extent is one hole.
	Segments []Range
	// Final says that this extent is all of its entry and that the source's
	// fingerprint was found unchanged after the bytes were read, so that no
	// separate EntryDone follows.
	Final bool
}

// End returns the offset after the extent's last byte.
func (h *ExtentHeader) End() int64 { return h.Offset + h.Length }

// DataLength returns the number of bytes that the extent carries on the wire.
func (h *ExtentHeader) DataLength() int64 {
	var n int64
	for _, s := range h.Segments {
		n += s.Length
	}
	return n
}

// Body is where the bytes of one segment come from: memory, or a file range. At
// least one of Mem and File is set. Both are the same bytes, such as those of
// mapped memory and its memfd, and the transport uses what suits it.
type Body struct {
	Mem        []byte
	File       *os.File
	FileOffset int64
}

// Extent is an extent at the source. Bodies has one element per segment.
type Extent struct {
	ExtentHeader
	Bodies []Body
	// Places say where in the target's Memory the whole extent belongs, holes
	// included: in order, none empty, and their lengths add up to Length. Nil for
	// what does not go to memory. Only transports that write there themselves use
	// them, so a target must not rely on them being kept to where nothing verifies.
	Places []Range
	// Digest is set by the feed when it hashed the bytes itself (small extents
	// that are in memory already). Otherwise the transport computes it from a
	// read of the same range, unless verification is off.
	Digest Digest
}

// Chunk is the unit that moves: an ordered list of at most MaxExtents extents,
// and at most chunk_size bytes. Seq means nothing beyond its edge and epoch.
// The feed owns a chunk and everything in it; the transport may use both from
// Next until it calls Done.
type Chunk struct {
	Seq     uint64
	Extents []Extent
}

// Code is what became of one extent.
type Code uint8

const (
	// Unknown: the session ended before the target answered. It may or may not
	// have landed; only the target's record tells.
	Unknown Code = iota
	// Placed: verified (unless verification is off), placed and recorded.
	Placed
	// Mismatch: the bytes that arrived do not have the digest that was sent.
	Mismatch
	// SourceShort: the source file ended before the extent did. Nothing of the
	// extent was placed as valid.
	SourceShort
	// SourceFailed: reading the source failed; Err tells why.
	SourceFailed
	// Refused: the target's sink did not take the extent; Err tells why.
	Refused
)

// Verdict is the outcome for one extent. Digest is the one the target
// verified; it is zero when verification is off.
type Verdict struct {
	Code   Code
	Digest Digest
	Err    error
}

// Feed gives chunks to the streams of one edge. Implemented by the sender.
type Feed interface {
	// Next blocks until there is a chunk for the stream, ctx ends, or no more
	// will come (io.EOF). It is called by all streams concurrently.
	Next(ctx context.Context, stream int) (*Chunk, error)
	// Done is called exactly once for every chunk that Next returned, from any
	// goroutine, with one verdict per extent. It must not block.
	Done(c *Chunk, verdicts []Verdict)
}

// Landing says where an extent of an arriving chunk goes.
type Landing struct {
	// Refuse, when not nil, makes the transport discard the bytes and answer
	// Refused with this error.
	Refuse error
	// File takes the data at the extent's own offsets (pwrite). The sink keeps
	// it open and writable until Landed was called for the chunk. Where it and
	// Mem are nil the transport gathers the segments in leased memory and hands
	// them over in Arrival.Mem.
	File *os.File
	// Mem is, in place of File, memory in which the extent belongs: pieces in
	// order, whose lengths add up to the extent's Length, holes included, which
	// are cleared. The bytes go straight there and are hashed there; nothing is
	// handed over in Arrival.Mem. Of an extent that does not end up Placed the
	// memory has anything. The pieces stay mapped until Incoming.Close returned,
	// and lie in PrepareOptions.Memory where that is set.
	Mem [][]byte
	// Unsynced says that nobody will wait for File to be on its device: then the
	// page cache is the fastest place for the bytes, and the transport must not
	// go past it.
	Unsynced bool
}

// Arrival is one extent that arrived.
type Arrival struct {
	ExtentHeader
	// Err is nil when the bytes have the digest that came with them (or
	// verification is off). Mismatch and source errors are told here, so that
	// the sink can undo what it prepared; nothing is to be recorded then.
	Err  error
	Code Code // Placed when Err is nil
	// Digest is zero when verification is off.
	Digest Digest
	// Mem holds the segments back to back when Landing had neither File nor Mem.
	// It is valid until Landed returns.
	Mem []byte
}

// Sink takes the bytes at the target. Implemented by the receiver. The slices it
// is given, and those within them, are the transport's: they are valid until
// Landed of the chunk returns, or Place when that fails. Both
// methods are called concurrently by several streams, but Landed of a chunk
// only ever after Place of it returned nil error, exactly once.
type Sink interface {
	// Place is called when the header of a chunk arrived, before its bytes. It
	// returns one Landing per extent. It may block for back-pressure until ctx
	// ends. An error fails the stream.
	Place(ctx context.Context, seq uint64, extents []ExtentHeader) ([]Landing, error)
	// Landed is called after the bytes of all extents arrived (or failed to:
	// see Arrival.Err). What it answers Placed was recorded as landed before it
	// returned. Its verdicts are sent to the source.
	Landed(ctx context.Context, seq uint64, arrivals []Arrival) []Verdict
}

// Grant is what the target hands to the source over the control stream, so that
// it can reach the edge's data plane. Tokens are one-use secrets; they are
// never logged.
type Grant struct {
	Transport   string
	Addr        string // host:port, for transports that dial
	Incarnation uint64 // of the target
	Tokens      [][32]byte
	Params      []byte // of the transport's own making
}

// PrepareOptions are the target's side of an edge.
type PrepareOptions struct {
	Streams   int   // at most so many streams may join
	ChunkSize int64 // bytes; no chunk is larger
	Verify    bool  // compute and compare digests
	// Memory is what all extents of the edge land in, if they do: see Landing.Mem.
	// Transports that can have the source write there itself. It stays mapped until
	// Incoming.Close returned nil; after an error of Close it must never be
	// unmapped or used for something else, since bytes may still land in it.
	Memory *Memory
	// Principal is for whom memory is pinned.
	Principal string
}

// Acceptor is the target's half of a transport.
type Acceptor interface {
	Prepare(ctx context.Context, edge Edge, sink Sink, o PrepareOptions) (Incoming, error)
}

// Incoming is a prepared edge at the target.
type Incoming interface {
	Grant() Grant
	// Close is the fence. It ends every stream of the edge, waits until none
	// of them can touch the sink or PrepareOptions.Memory any more, and forgets
	// unused tokens. It is idempotent. Its error says that memory could not be
	// taken back from a device (ErrUnfenced): nothing reaches the sink any more,
	// but bytes may land in Memory at any time.
	Close() error
	Stats() Stats
}

// DialOptions are the source's side of an edge.
type DialOptions struct {
	Streams   int
	ChunkSize int64
	Verify    bool
	// MaxRate limits the edge, in bytes per second; 0 is no limit.
	MaxRate int64
	// Memory is what Body.Mem of extents may lie in. Transports that can have it
	// read there by a device, and register it once, before Dial returns. It stays
	// mapped until Run or Close returned; where their error is ErrUnfenced a device
	// may still read it, and it must not be unmapped.
	Memory []*Memory
	// Principal is for whom memory is pinned.
	Principal string
	// Control opens the way to Incoming.Join at the target; see Joiner. Nil
	// where there is none.
	Control func(ctx context.Context) (Control, error)
}

// Dialer is the source's half of a transport.
type Dialer interface {
	// Dial returns without having opened more than it needs: further streams
	// are opened as chunks come, never more streams than chunks.
	Dial(ctx context.Context, edge Edge, g Grant, o DialOptions) (Outgoing, error)
}

// Outgoing is an edge at the source.
type Outgoing interface {
	// Run moves chunks from the feed until it is at its end and everything was
	// answered, or ctx ends, or the session breaks. When it returns, Done was
	// called for every chunk, and no memory or file of a chunk is in use. One
	// broken stream breaks the session: its chunks and those of its siblings
	// that are not answered come back as Unknown.
	Run(ctx context.Context, f Feed) error
	// SetMaxRate changes the limit of a running edge; 0 lifts it.
	SetMaxRate(bytesPerSecond int64)
	Stats() Stats
	// Close ends the edge at once; Run then returns net.ErrClosed. Idempotent.
	Close() error
}

// Stats counts what one side of an edge did so far. Durations are summed over
// the streams; the largest of them tells where the edge waits.
type Stats struct {
	Streams       int   // opened so far
	Chunks        int64 // sent or received
	Bytes         int64 // of file content
	SendfileBytes int64 // that left by sendfile(2)
	KernelBytes   int64 // by copy_file_range or reflink, inside one node
	ClonedBytes   int64 // of KernelBytes, shared by reflink
	CopiedBytes   int64 // through user-space buffers
	Mismatches    int64
	ReadTime      time.Duration // source: reading files and waiting for the feed's loads
	HashTime      time.Duration
	WireTime      time.Duration // source: blocked on send; target: blocked on receive
	PlaceTime     time.Duration // target: writing
	PaceTime      time.Duration // source: held back by the rate limit
}

// Add adds what another edge counted.
func (s *Stats) Add(o Stats) {
	s.Streams += o.Streams
	s.Chunks += o.Chunks
	s.Bytes += o.Bytes
	s.SendfileBytes += o.SendfileBytes
	s.KernelBytes += o.KernelBytes
	s.ClonedBytes += o.ClonedBytes
	s.CopiedBytes += o.CopiedBytes
	s.Mismatches += o.Mismatches
	s.ReadTime += o.ReadTime
	s.HashTime += o.HashTime
	s.WireTime += o.WireTime
	s.PlaceTime += o.PlaceTime
	s.PaceTime += o.PaceTime
}
