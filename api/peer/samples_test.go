package peer

import (
	"errors"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// The samples have every message and, together, every field of each: see
// TestEveryField.

var (
	sampleError = &transfer.Error{
		Reason: "REASON_OF_A_NEWER_PEER", Side: transfer.SideTarget, Phase: transfer.PhaseWrite, Node: "n2",
		Path: "/b/\xff\n", Err: errors.New("no space left on device"), Hint: "free some",
	}
	sampleFile = transfer.Entry{
		Number: 2, Parent: 1, Name: "\xff\xfe not utf-8", Kind: transfer.KindFile, Flags: transfer.EntrySparse, Size: 5 << 20,
		Meta:  transfer.Meta{Perm: 0o644, UID: 1000, GID: 100, Mtime: -1, Xattrs: []transfer.Xattr{{Name: "user.a", Value: []byte("\x00\xff")}}},
		Print: transfer.Fingerprint{Dev: 66306, Ino: 1234567, Size: 5 << 20, Mtime: 1_700_000_000_123_456_789, Ctime: -1},
	}
	sampleDigest = transport.Digest{0: 1, 15: 0xfe}
)

func toTargetSamples() []transfer.ToTarget {
	maxDelete, uid, gid := int64(0), uint32(0), uint32(7)
	return []transfer.ToTarget{
		&transfer.Open{
			Owner: "n1", ID: "t1", UID: transfer.UID{0: 1, 15: 2}, StateUUID: "s", Epoch: 1 << 40, Principal: "uid:0",
			Mode: transfer.ModeSync, Dest: "/b/\xff", DestMode: transfer.DestInto, Sources: []string{"/a/\xfe", "/c"},
			Names: []string{"\xfe", "c"}, Again: true, Mark: true,
			Options: transfer.Options{
				Preserve: transfer.PreserveXattrs | transfer.PreserveMode, Compare: transfer.CompareChecksum, Update: true, NoClobber: true,
				Force: true, DryRun: true, Delete: true, MaxDelete: &maxDelete,
				Filters:  []transfer.FilterRule{{Include: true, Pattern: "*.\xff"}, {Pattern: "*"}},
				ChownUID: &uid, ChownGID: &gid, Chmod: "u+w", Verify: transfer.VerifyStore, Durability: transfer.DurabilityNone,
				ChunkSize: 1 << 20, Streams: 4, Digest: transfer.DigestXXH3, Expected: []byte{0, 255}, Prepared: true,
			},
			ValidateOnly: true, BytesHint: 1 << 50, EntriesHint: 9,
		},
		&transfer.Open{},
		&transfer.Open{Dest: "@r", Ranges: []transport.Range{{Offset: 1 << 40, Length: 5}, {Offset: 1<<40 + 4096, Length: 1}, {Offset: 1 << 60, Length: 1 << 60}}},
		&transfer.Open{Dest: "@r", Ranges: []transport.Range{{Offset: 5, Length: -1}, {Offset: -1 << 63, Length: 1<<63 - 1}, {}}}, // refused by who receives it
		&transfer.Entries{},
		&transfer.Entries{Entries: []transfer.Entry{
			{Parent: transfer.NoParent, Kind: transfer.KindDir},
			{Number: 1, Name: "d", Kind: transfer.KindCharDevice, Meta: transfer.Meta{Rdev: 0x103}},
			sampleFile,
			{Number: 3, Name: "l", Kind: transfer.KindSymlink, Link: "../\xff"},
			{Number: 4, Name: "h", Kind: transfer.KindHardlink, LinkTo: 2},
			{Number: 5, Name: ".xferd.reserved", Kind: 200}, // refused alone, by who receives it
		}},
		&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 1, Digest: sampleDigest}, {Entry: 2}}},
		&transfer.EntryDigests{Entry: 3, Digests: []transport.Digest{sampleDigest, {}, {1: 1}}},
		&transfer.EntryDigests{Entry: 3},
		&transfer.EntryRestart{Entry: sampleFile},
		&transfer.EntryGiveUp{Entry: 4, Err: sampleError},
		&transfer.EntryGiveUp{Err: &transfer.Error{Reason: transfer.SourceVanished}},
		&transfer.ScanDone{Entries: 5, Failed: 6},
		&transfer.PrepareData{Transports: []string{"verbs", "tcp"}, Streams: 8},
		&transfer.FenceData{},
		&transfer.FenceData{Asked: []transfer.ExtentID{{Entry: 1<<64 - 1, Offset: 5 << 40}, {Entry: 2}}},
		&transfer.Finish{},
		&transfer.Abort{End: transfer.EndPause},
		&transfer.Abort{End: transfer.EndCancel},
		&transfer.Abort{End: transfer.EndPurge},
		&transfer.Ping{Seq: 1<<64 - 1},
		&transfer.DataControl{Session: 1, Body: []byte{'c', 0, 255}},
		&transfer.DataControl{Session: 1<<32 - 1, End: true},
	}
}

func toOwnerSamples() []transfer.ToOwner {
	return []transfer.ToOwner{
		&transfer.Opened{Node: "n2", Incarnation: 7, Credits: 1000, Transports: []string{"tcp"}, ResolvedTo: "/b/\xff", FreeBytes: 1 << 40,
			Checked: transfer.Checked{Verify: transfer.VerifyStore, Reason: transfer.MemoryFileSystem}, Digest: transfer.DigestSHA256},
		&transfer.Refused{Err: sampleError},
		&transfer.DataReady{Grant: transport.Grant{
			Transport: "tcp", Addr: "127.0.0.1:7441", Incarnation: 7, Tokens: [][32]byte{{0: 1}, {31: 2}}, Params: []byte{0, 255},
		}},
		&transfer.DataReady{},
		&transfer.DataReady{Why: transport.NoGID},
		&transfer.DataControl{Session: 2, Body: []byte{'a'}},
		&transfer.DataControl{Session: 3, End: true},
		&transfer.DataReady{Err: sampleError},
		&transfer.Answers{},
		&transfer.Answers{Answers: []transfer.Answer{
			{Entry: 1, Want: transfer.WantAll, Change: transfer.ChangeNew},
			{Entry: 2, Want: transfer.WantRanges, Ranges: []transport.Range{{Offset: 0, Length: 1 << 20}, {Offset: 3 << 20, Length: 7}}},
			{Entry: 3, Want: transfer.WantDigests, Change: transfer.ChangeMtime | transfer.ChangeDelete},
			{Entry: 4, Want: transfer.WantAgain},
		}},
		&transfer.Results{Results: []transfer.Result{
			{Entry: 2, Path: "d/\xff", Kind: transfer.KindFile, Outcome: transfer.OutcomePublished, Change: transfer.ChangeNew, Bytes: 5 << 20, Digest: sampleDigest, Lost: transfer.PreserveXattrs},
			{Entry: 5, Path: "l", Kind: transfer.KindSymlink, Outcome: transfer.OutcomeSame, LinkTarget: "../\xff"},
			{Entry: 6, Path: "c", Kind: transfer.KindFile, Outcome: transfer.OutcomeSame, Content: "\x00\xff"},
			{Kind: transfer.KindRegion, Outcome: transfer.OutcomePublished, Bytes: 9, Digest: sampleDigest, Generation: 1 << 40},
			{Entry: 3, Kind: transfer.KindFile, Outcome: transfer.OutcomeFailed, Err: sampleError},
			{Entry: transfer.NoEntry, Path: "gone", Outcome: transfer.OutcomeDeleted, Change: transfer.ChangeDelete},
		}},
		&transfer.DataFenced{},
		&transfer.DataFenced{Landed: []transfer.LandedExtent{{Digest: sampleDigest}, {Asked: transfer.MaxAsked - 1}}},
		&transfer.Finished{Deleted: 3, Err: sampleError, Stats: transport.Stats{
			Streams: 1, Chunks: 2, Bytes: 3, SendfileBytes: 4, KernelBytes: 5, ClonedBytes: 6, CopiedBytes: 7, Mismatches: 8,
			ReadTime: time.Second, HashTime: 10, WireTime: 11, PlaceTime: 12, PaceTime: 13,
		}, Checked: transfer.Checked{Verify: transfer.VerifyStore, Reason: transfer.CacheNotDropped}},
		&transfer.Finished{},
		&transfer.Finished{Complete: true},
		&transfer.Pong{Seq: 1},
		&transfer.Pong{Waiting: sampleError},
	}
}
