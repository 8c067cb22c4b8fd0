package manifest

import (
	"errors"
	"strings"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

var samplePrint = transfer.Fingerprint{Dev: 66306, Ino: 1234567, Size: 4 << 20, Mtime: 1_700_000_000_123_456_789, Ctime: -1}

type sampleEntry struct {
	name string
	e    transfer.Entry
}

// sampleEntries have every kind and every part. Their encodings are frozen.
func sampleEntries() []sampleEntry {
	meta := transfer.Meta{Perm: 0o644, UID: 1000, GID: 100, Mtime: 1_700_000_000_123_456_789}
	full := meta
	full.Perm = 0o4755
	full.Xattrs = []transfer.Xattr{{Name: "user.a", Value: []byte("\x00\xff")}, {Name: "user.empty"}, {Name: "system.posix_acl_access", Value: []byte("acl")}}
	dev := meta
	dev.Rdev = 0x103
	return []sampleEntry{
		{"root", transfer.Entry{Parent: transfer.NoParent, Kind: transfer.KindDir, Meta: meta}},
		{"zero-file", transfer.Entry{Number: 1, Name: "f", Kind: transfer.KindFile}},
		{"file", transfer.Entry{Number: 2, Name: "file.bin", Kind: transfer.KindFile, Meta: meta, Size: 4 << 20, Print: samplePrint}},
		{"sparse-xattrs", transfer.Entry{Number: 3, Name: "\xff\xfe not utf-8", Kind: transfer.KindFile, Flags: transfer.EntrySparse, Meta: full, Size: MaxSize, Print: samplePrint}},
		{"old-time", transfer.Entry{Number: 4, Name: "old", Kind: transfer.KindFile, Meta: transfer.Meta{Mtime: -1 << 63}}},
		{"dir", transfer.Entry{Number: 1 << 40, Parent: 0, Name: "d", Kind: transfer.KindDir, Meta: transfer.Meta{Perm: 0o1777, UID: 1<<32 - 1}}},
		{"symlink", transfer.Entry{Number: 6, Name: "l", Kind: transfer.KindSymlink, Meta: meta, Link: "../else/where"}},
		{"hardlink", transfer.Entry{Number: 7, Name: "h", Kind: transfer.KindHardlink, LinkTo: 2, Meta: meta}},
		{"hardlink-to-0", transfer.Entry{Number: 8, Name: "h0", Kind: transfer.KindHardlink}},
		{"fifo", transfer.Entry{Number: 9, Name: "p", Kind: transfer.KindFIFO, Meta: meta}},
		{"socket", transfer.Entry{Number: 10, Name: "s", Kind: transfer.KindSocket, Meta: meta}},
		{"char", transfer.Entry{Number: 11, Name: "c", Kind: transfer.KindCharDevice, Meta: dev}},
		{"block", transfer.Entry{Number: 12, Name: "b", Kind: transfer.KindBlockDevice, Meta: dev}},
		{"end", transfer.Entry{Number: 13, Parent: 0, Kind: transfer.KindEndDir}},
		{"end-failed", transfer.Entry{Number: 14, Parent: 5, Kind: transfer.KindEndDir, Flags: transfer.EntryFailed}},
		{"region", transfer.Entry{Parent: transfer.NoParent, Kind: transfer.KindRegion, Size: 1 << 30, Print: samplePrint}},
	}
}

type sampleResult struct {
	name string
	r    transfer.Result
}

func sampleResults() []sampleResult {
	digest := transport.Digest{0: 1, 15: 0xfe}
	return []sampleResult{
		{"same", transfer.Result{Entry: 0, Kind: transfer.KindDir, Outcome: transfer.OutcomeSame}},
		{"published", transfer.Result{Entry: 300, Path: "d/file\n", Kind: transfer.KindFile, Outcome: transfer.OutcomePublished,
			Change: transfer.ChangeNew | transfer.ChangeDelete, Bytes: 4 << 20, Digest: digest, Lost: transfer.PreserveXattrs | transfer.PreserveSpecials}},
		{"deleted", transfer.Result{Entry: transfer.NoParent, Path: "gone", Outcome: transfer.OutcomeDeleted, Change: transfer.ChangeDelete}},
		{"failed", transfer.Result{Entry: 7, Kind: transfer.KindFile, Outcome: transfer.OutcomeFailed, Err: &transfer.Error{
			Reason: transfer.DestNoSpace, Side: transfer.SideTarget, Phase: transfer.PhaseWrite, Node: "n2", Path: "/b/\xff",
			Err: errors.New("no space left on device"), Hint: "free some"}}},
		{"failed-bare", transfer.Result{Entry: 8, Kind: transfer.KindFile, Outcome: transfer.OutcomeFailed, Err: &transfer.Error{Reason: transfer.Internal}}},
		{"link", transfer.Result{Entry: 9, Path: "l", Kind: transfer.KindSymlink, Outcome: transfer.OutcomePublished, Change: transfer.ChangeNew, LinkTarget: "../else/\xff"}},
		{"content", transfer.Result{Entry: 10, Path: "c", Kind: transfer.KindFile, Outcome: transfer.OutcomeSame, Content: "\x00\xff" + strings.Repeat("x", 30)}},
		{"region", transfer.Result{Kind: transfer.KindRegion, Outcome: transfer.OutcomePublished, Bytes: 1 << 30, Digest: digest, Generation: 1<<63 + 1}},
	}
}
