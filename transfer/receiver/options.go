package receiver

import (
	"fmt"
	"os"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/filter"
)

// rules are the options of an edge in the form in which they are used.
type rules struct {
	transfer.Options
	policy  policy
	filters *filter.Set
}

// checkOpen validates what an owner asks for and fills the zero values in. It
// touches nothing.
func checkOpen(m *transfer.Open) (*rules, error) {
	o := m.Options
	bad := func(format string, args ...any) (*rules, error) { return nil, fmt.Errorf(format, args...) }
	if o.ChunkSize == 0 {
		o.ChunkSize = transfer.DefaultChunkSize
	}
	if o.ChunkSize < transfer.MinChunkSize || o.ChunkSize > transfer.MaxChunkSize || o.ChunkSize&(o.ChunkSize-1) != 0 {
		return bad("chunk size %d is not a power of two between %d and %d", o.ChunkSize, transfer.MinChunkSize, transfer.MaxChunkSize)
	}
	if o.Streams == 0 {
		o.Streams = transfer.DefaultStreams
	}
	if o.Streams < 0 || o.Streams > transfer.MaxStreams {
		return bad("%d streams: 1 to %d are allowed", o.Streams, transfer.MaxStreams)
	}
	switch o.Compare {
	case "":
		o.Compare = transfer.CompareSizeMtime
	case transfer.CompareSizeMtime, transfer.CompareSize, transfer.CompareChecksum:
	default:
		return bad("unknown comparison %q", o.Compare)
	}
	switch o.Verify {
	case "":
		o.Verify = transfer.VerifyWire
	case transfer.VerifyNone, transfer.VerifyWire, transfer.VerifyStore, transfer.VerifyMedia:
	default:
		return bad("unknown verification %q", o.Verify)
	}
	switch o.Durability {
	case "":
		o.Durability = transfer.DurabilityFull
	case transfer.DurabilityFull, transfer.DurabilityNone:
	default:
		return bad("unknown durability %q", o.Durability)
	}
	switch m.Mode {
	case transfer.ModeCopy, transfer.ModeSync, transfer.ModeAssemble:
	default:
		return bad("unknown mode %q", m.Mode)
	}
	switch m.DestMode {
	case transfer.DestExact, transfer.DestInto:
	default:
		return bad("unknown destination mode %q", m.DestMode)
	}
	switch {
	case o.Delete && m.Mode != transfer.ModeSync:
		return bad("only a sync deletes")
	case o.MaxDelete != nil && *o.MaxDelete < 0:
		return bad("max_delete is negative")
	case m.UID == transfer.UID{}:
		return bad("no uid")
	case m.Owner == "" || m.ID == "" || m.StateUUID == "":
		return bad("no owner, id or state uuid")
	case m.Epoch == 0 && !m.ValidateOnly:
		return bad("no epoch")
	case o.ChownUID != nil && *o.ChownUID == ^uint32(0), o.ChownGID != nil && *o.ChownGID == ^uint32(0):
		return bad("4294967295 is no user or group")
	}
	chmod, err := transfer.ParseChmod(o.Chmod)
	if err != nil {
		return nil, err
	}
	filters, err := filter.New(o.Filters)
	if err != nil {
		return nil, err
	}
	return &rules{
		Options: o,
		policy: policy{
			keep: o.Preserve, chownUID: o.ChownUID, chownGID: o.ChownGID, chmod: chmod,
			uid: uint32(os.Geteuid()), gid: uint32(os.Getegid()),
		},
		filters: filters,
	}, nil
}

func (o *rules) durable() bool { return o.Durability == transfer.DurabilityFull }
func (o *rules) digests() bool { return o.Verify != transfer.VerifyNone }
