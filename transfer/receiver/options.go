package receiver

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/filter"
)

// rules are the options of an edge in the form in which they are used.
type rules struct {
	transfer.Options
	policy  policy
	filters *filter.Set
	// names are those that root entries may have, and that the lock covers; nil where
	// they are not known.
	names map[string]bool
	// verify: nothing is to change, neither now nor by a run that this one is for.
	verify bool
}

// maxNameBytes bounds the names that a lock remembers. With more of them it covers
// the whole destination.
const maxNameBytes = 1 << 20

// namesOf returns what a transfer covers in its destination; nil: all of it.
func namesOf(m *transfer.Open) (map[string]bool, error) {
	size := 0
	for _, n := range m.Names {
		if n == "" || n == "." || n == ".." || strings.ContainsAny(n, "/\x00") {
			return nil, fmt.Errorf("%q is no name in a directory", n)
		}
		size += len(n)
	}
	switch {
	case len(m.Names) == 0 || size > maxNameBytes:
		return nil, nil
	case m.Mode != transfer.ModeCopy || m.DestMode != transfer.DestInto:
		return nil, errors.New("names, and no directory to copy into")
	}
	return nameSet(m.Names), nil
}

func nameSet(list []string) map[string]bool {
	if len(list) == 0 {
		return nil
	}
	set := make(map[string]bool, len(list))
	for _, n := range list {
		set[n] = true
	}
	return set
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
	case transfer.ModeCopy, transfer.ModeSync, transfer.ModeAssemble, transfer.ModeVerify:
	default:
		return bad("unknown mode %q", m.Mode)
	}
	switch m.DestMode {
	case transfer.DestExact, transfer.DestInto:
	default:
		return bad("unknown destination mode %q", m.DestMode)
	}
	switch {
	case o.Digest != "" && o.Digest.Size() == 0:
		return bad("unknown digest %q", o.Digest)
	case len(o.Expected) > 0 && len(o.Expected) != o.Digest.Size():
		return bad("a digest of %d bytes is expected, and %q has %d", len(o.Expected), o.Digest, o.Digest.Size())
	case o.Delete && m.Mode != transfer.ModeSync && m.Mode != transfer.ModeVerify:
		return bad("only a sync deletes")
	case m.Mode == transfer.ModeVerify && !o.DryRun:
		return bad("a verification that is no dry run")
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
	names, err := namesOf(m)
	if err != nil {
		return nil, err
	}
	return &rules{
		Options: o, names: names, verify: m.Mode == transfer.ModeVerify,
		policy: policy{
			keep: o.Preserve, chownUID: o.ChownUID, chownGID: o.ChownGID, chmod: chmod,
			uid: uint32(os.Geteuid()), gid: uint32(os.Getegid()),
		},
		filters: filters,
	}, nil
}

func (o *rules) durable() bool { return o.Durability == transfer.DurabilityFull }
func (o *rules) digests() bool { return o.Verify != transfer.VerifyNone }
