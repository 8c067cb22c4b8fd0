package server

import (
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// source is a path source.
func source(path string, contents bool) *xferv1.Source {
	return &xferv1.Source{Source: &xferv1.Source_Path{Path: &xferv1.PathSource{Path: []byte(path), Contents: contents}}}
}

// goodSpec is a plain copy between two nodes.
func goodSpec() *xferv1.TransferSpec {
	return &xferv1.TransferSpec{
		SourceNode: "n1", Sources: []*xferv1.Source{source("/data/a", false)},
		TargetNode:  "n2",
		Destination: &xferv1.Destination{Destination: &xferv1.Destination_Path{Path: []byte("/data/b")}},
	}
}

func dest(m *xferv1.TransferSpec, path string) {
	m.Destination.Destination = &xferv1.Destination_Path{Path: []byte(path)}
}

func sources(m *xferv1.TransferSpec, paths ...string) {
	m.Sources = nil
	for _, p := range paths {
		m.Sources = append(m.Sources, source(p, false))
	}
}

func mirror(m *xferv1.TransferSpec) {
	m.Mode = xferv1.Mode_MODE_SYNC
	m.Sources = []*xferv1.Source{source("/data/a", true)}
}

func assemble(m *xferv1.TransferSpec) {
	m.Mode = xferv1.Mode_MODE_ASSEMBLE
	m.Sources = nil
	m.Pieces = &xferv1.Pieces{
		Paths: [][]byte{[]byte("/data/x")}, PathIndex: []uint32{0, 0}, Offset: []int64{0, 9}, Length: []int64{10, -1}, DestOffset: []int64{0, 10},
	}
}

const ok = transfer.ReasonNone

// TestSpecValidation goes through what a submit can have wrong. The name says
// what is asked, want the reason of the refusal.
func TestSpecValidation(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*xferv1.TransferSpec)
		want   transfer.Reason
	}{
		{"a plain copy", func(*xferv1.TransferSpec) {}, ok},
		{"a sync", mirror, ok},
		{"an assembly", assemble, ok},
		{"an empty piece among others", func(m *xferv1.TransferSpec) {
			assemble(m)
			m.Pieces.PathIndex = append(m.Pieces.PathIndex, 0, 0)
			m.Pieces.Offset = append(m.Pieces.Offset, 3, 3)
			m.Pieces.Length = append(m.Pieces.Length, 0, 0)
			m.Pieces.DestOffset = append(m.Pieces.DestOffset, 10, 5)
		}, ok},

		{"no source", func(m *xferv1.TransferSpec) { m.Sources = nil }, transfer.BadPath},
		{"empty source", func(m *xferv1.TransferSpec) { sources(m, "") }, transfer.BadPath},
		{"unset source", func(m *xferv1.TransferSpec) { m.Sources = []*xferv1.Source{{}} }, transfer.InvalidSpec},
		{"no destination", func(m *xferv1.TransferSpec) { m.Destination = nil }, transfer.InvalidSpec},
		{"unset destination", func(m *xferv1.TransferSpec) { m.Destination.Destination = nil }, transfer.InvalidSpec},
		{"empty destination", func(m *xferv1.TransferSpec) { dest(m, "") }, transfer.BadPath},
		{"relative", func(m *xferv1.TransferSpec) { sources(m, "data/a") }, transfer.BadPath},
		{"dot dot", func(m *xferv1.TransferSpec) { sources(m, "/data/x/../a") }, transfer.BadPath},
		{"dot dot at the end", func(m *xferv1.TransferSpec) { dest(m, "/data/..") }, transfer.BadPath},
		{"dot", func(m *xferv1.TransferSpec) { dest(m, "/data/./b") }, transfer.BadPath},
		{"double slash", func(m *xferv1.TransferSpec) { dest(m, "//data/b") }, transfer.BadPath},
		{"trailing slash", func(m *xferv1.TransferSpec) { sources(m, "/data/link/") }, transfer.BadPath},
		{"NUL", func(m *xferv1.TransferSpec) { dest(m, "/data/b\x00") }, transfer.BadPath},
		{"4096 bytes", func(m *xferv1.TransferSpec) { dest(m, strings.Repeat("/"+strings.Repeat("a", 255), 16)) }, ok},
		{"4097 bytes", func(m *xferv1.TransferSpec) { dest(m, strings.Repeat("/"+strings.Repeat("a", 240), 17)) }, transfer.BadPath},
		{"component of 256", func(m *xferv1.TransferSpec) { dest(m, "/"+strings.Repeat("a", 256)) }, transfer.BadPath},
		{"256 deep", func(m *xferv1.TransferSpec) { dest(m, strings.Repeat("/a", 256)) }, ok},
		{"257 deep", func(m *xferv1.TransferSpec) { dest(m, strings.Repeat("/a", 257)) }, transfer.BadPath},
		{"not UTF-8", func(m *xferv1.TransferSpec) { dest(m, "/data/\xff\xfe\n\x1b[2J") }, ok},
		{"our temp name", func(m *xferv1.TransferSpec) { dest(m, "/data/.xferd.abc") }, transfer.ReservedName},
		{"our temp name above", func(m *xferv1.TransferSpec) { sources(m, "/data/.xferd.abc/x") }, transfer.ReservedName},
		{"root of an export", func(m *xferv1.TransferSpec) {
			m.Sources = []*xferv1.Source{source("/", true)}
		}, ok},
		{"root has no name", func(m *xferv1.TransferSpec) {
			sources(m, "/")
			m.Destination.Mode = xferv1.DestinationMode_DESTINATION_MODE_INTO_DIR
		}, transfer.BadPath},

		{"no source node", func(m *xferv1.TransferSpec) { m.SourceNode = "" }, transfer.InvalidSpec},
		{"no target node", func(m *xferv1.TransferSpec) { m.TargetNode = "" }, transfer.InvalidSpec},
		{"node with a blank", func(m *xferv1.TransferSpec) { m.TargetNode = "n 2" }, transfer.InvalidSpec},
		{"node is an address", func(m *xferv1.TransferSpec) { m.TargetNode = "10.0.0.1:7440" }, transfer.InvalidSpec},
		{"node is a URL", func(m *xferv1.TransferSpec) { m.TargetNode = "http://n2" }, transfer.InvalidSpec},
		{"node of 64 KiB", func(m *xferv1.TransferSpec) { m.SourceNode = strings.Repeat("n", 1<<16) }, transfer.InvalidSpec},
		{"node is an emoji", func(m *xferv1.TransferSpec) { m.SourceNode = "🦆" }, transfer.InvalidSpec},

		{"same file", func(m *xferv1.TransferSpec) { m.TargetNode = "n1"; dest(m, "/data/a") }, transfer.SameFile},
		{"same file elsewhere", func(m *xferv1.TransferSpec) { dest(m, "/data/a") }, ok},
		{"into its own directory", func(m *xferv1.TransferSpec) {
			m.TargetNode = "n1"
			dest(m, "/data")
			m.Destination.Mode = xferv1.DestinationMode_DESTINATION_MODE_INTO_DIR
		}, transfer.SameFile},
		{"into itself", func(m *xferv1.TransferSpec) { m.TargetNode = "n1"; dest(m, "/data/a/b") }, transfer.DestInsideSource},
		{"only a prefix", func(m *xferv1.TransferSpec) { m.TargetNode = "n1"; dest(m, "/data/ab") }, ok},
		{"all into itself", func(m *xferv1.TransferSpec) {
			m.TargetNode = "n1"
			m.Sources = []*xferv1.Source{source("/", true)}
		}, transfer.DestInsideSource},
		{"a sync over its source", func(m *xferv1.TransferSpec) { mirror(m); m.TargetNode = "n1"; dest(m, "/data") }, transfer.SameFile},
		{"a force over its source", func(m *xferv1.TransferSpec) { m.Force = true; m.TargetNode = "n1"; dest(m, "/data") }, transfer.SameFile},

		{"several, exact", func(m *xferv1.TransferSpec) { sources(m, "/data/a", "/data/b") }, transfer.InvalidSpec},
		{"several, into", func(m *xferv1.TransferSpec) {
			sources(m, "/data/a", "/data/b")
			m.Destination.Mode = xferv1.DestinationMode_DESTINATION_MODE_INTO_DIR
		}, ok},
		{"two of one name", func(m *xferv1.TransferSpec) {
			sources(m, "/data/x/a", "/data/y/a")
			m.Destination.Mode = xferv1.DestinationMode_DESTINATION_MODE_INTO_DIR
		}, transfer.InvalidSpec},
		{"sync of a directory as such", func(m *xferv1.TransferSpec) { mirror(m); sources(m, "/data/a") }, transfer.InvalidSpec},
		{"sync into", func(m *xferv1.TransferSpec) {
			mirror(m)
			m.Destination.Mode = xferv1.DestinationMode_DESTINATION_MODE_INTO_DIR
		}, transfer.InvalidSpec},

		{"streams 0", func(m *xferv1.TransferSpec) { m.Streams = new(int32(0)) }, transfer.InvalidSpec},
		{"streams -1", func(m *xferv1.TransferSpec) { m.Streams = new(int32(-1)) }, transfer.InvalidSpec},
		{"streams 32", func(m *xferv1.TransferSpec) { m.Streams = new(int32(32)) }, ok},
		{"streams 33", func(m *xferv1.TransferSpec) { m.Streams = new(int32(33)) }, transfer.InvalidSpec},
		{"chunk 1 MiB", func(m *xferv1.TransferSpec) { m.ChunkSize = new(int64(1 << 20)) }, ok},
		{"chunk 64 MiB", func(m *xferv1.TransferSpec) { m.ChunkSize = new(int64(64 << 20)) }, ok},
		{"chunk 128 MiB", func(m *xferv1.TransferSpec) { m.ChunkSize = new(int64(128 << 20)) }, transfer.InvalidSpec},
		{"chunk 512 KiB", func(m *xferv1.TransferSpec) { m.ChunkSize = new(int64(512 << 10)) }, transfer.InvalidSpec},
		{"chunk 3 MiB", func(m *xferv1.TransferSpec) { m.ChunkSize = new(int64(3 << 20)) }, transfer.InvalidSpec},
		{"chunk -1", func(m *xferv1.TransferSpec) { m.ChunkSize = new(int64(-1)) }, transfer.InvalidSpec},
		{"rate 0", func(m *xferv1.TransferSpec) { m.MaxBytesPerSecond = new(int64(0)) }, transfer.InvalidSpec},
		{"rate -1", func(m *xferv1.TransferSpec) { m.MaxBytesPerSecond = new(int64(-1)) }, transfer.InvalidSpec},
		{"rate 2^63-1", func(m *xferv1.TransferSpec) { m.MaxBytesPerSecond = new(int64(math.MaxInt64)) }, transfer.InvalidSpec},
		{"max_delete -1", func(m *xferv1.TransferSpec) { mirror(m); m.Delete = true; m.MaxDelete = new(int64(-1)) }, transfer.InvalidSpec},
		{"max_delete 0", func(m *xferv1.TransferSpec) { mirror(m); m.Delete = true; m.MaxDelete = new(int64(0)) }, ok},
		{"uid -1", func(m *xferv1.TransferSpec) { m.ChownUid = new(uint32(math.MaxUint32)) }, transfer.InvalidSpec},
		{"gid -1", func(m *xferv1.TransferSpec) { m.ChownGid = new(uint32(math.MaxUint32)) }, transfer.InvalidSpec},
		{"uid 0", func(m *xferv1.TransferSpec) { m.ChownUid = new(uint32(0)) }, ok},

		{"deadline of nanos", func(m *xferv1.TransferSpec) { m.Deadline = &timestamppb.Timestamp{Nanos: 1e9} }, transfer.InvalidSpec},
		{"deadline in the year 10000", func(m *xferv1.TransferSpec) {
			m.Deadline = timestamppb.New(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))
		}, transfer.InvalidSpec},

		{"unknown mode", func(m *xferv1.TransferSpec) { m.Mode = 99 }, transfer.InvalidSpec},
		{"unknown compare", func(m *xferv1.TransferSpec) { m.Compare = 99 }, transfer.InvalidSpec},
		{"unknown verify", func(m *xferv1.TransferSpec) { m.Verify = -1 }, transfer.InvalidSpec},
		{"unknown durability", func(m *xferv1.TransferSpec) { m.Durability = 99 }, transfer.InvalidSpec},
		{"unknown policy", func(m *xferv1.TransferSpec) { m.Transport = 99 }, transfer.InvalidSpec},
		{"unknown encryption", func(m *xferv1.TransferSpec) { m.Encryption = 99 }, transfer.InvalidSpec},
		{"unknown priority", func(m *xferv1.TransferSpec) { m.Priority = 99 }, transfer.InvalidSpec},
		{"unknown destination mode", func(m *xferv1.TransferSpec) { m.Destination.Mode = 99 }, transfer.InvalidSpec},
		{"unknown property", func(m *xferv1.TransferSpec) { m.Preserve = &xferv1.Preserve{Properties: []xferv1.Property{99}} }, transfer.InvalidSpec},
		{"unset property", func(m *xferv1.TransferSpec) { m.Preserve = &xferv1.Preserve{Properties: []xferv1.Property{0}} }, transfer.InvalidSpec},
		{"property twice", func(m *xferv1.TransferSpec) { m.Preserve = &xferv1.Preserve{Properties: []xferv1.Property{1, 1}} }, transfer.InvalidSpec},

		{"65 labels", func(m *xferv1.TransferSpec) {
			m.Labels = map[string]string{}
			for i := range 65 {
				m.Labels[strings.Repeat("k", i+1)] = ""
			}
		}, transfer.InvalidSpec},
		{"label without a name", func(m *xferv1.TransferSpec) { m.Labels = map[string]string{"": "x"} }, transfer.InvalidSpec},
		{"label of 1 MiB", func(m *xferv1.TransferSpec) { m.Labels = map[string]string{"a": strings.Repeat("x", 1<<20)} }, transfer.InvalidSpec},
		{"name of a label of 257", func(m *xferv1.TransferSpec) { m.Labels = map[string]string{strings.Repeat("x", 257): ""} }, transfer.InvalidSpec},

		{"5001 filters", func(m *xferv1.TransferSpec) {
			for range 5001 {
				m.Filters = append(m.Filters, &xferv1.FilterRule{Pattern: []byte("*.o")})
			}
		}, transfer.InvalidSpec},
		{"unbalanced filter", func(m *xferv1.TransferSpec) { m.Filters = []*xferv1.FilterRule{{Pattern: []byte("[a")}} }, transfer.InvalidSpec},
		{"empty filter", func(m *xferv1.TransferSpec) { m.Filters = []*xferv1.FilterRule{{}} }, transfer.InvalidSpec},
		{"filters", func(m *xferv1.TransferSpec) {
			m.Filters = []*xferv1.FilterRule{{Include: true, Pattern: []byte("*.c")}, {Pattern: []byte("**/**/**/x")}}
		}, ok},

		{"no_clobber and update", func(m *xferv1.TransferSpec) { m.NoClobber, m.Update = true, true }, transfer.InvalidSpec},
		{"no_clobber and force", func(m *xferv1.TransferSpec) { m.NoClobber, m.Force = true, true }, transfer.InvalidSpec},
		{"a digest", func(m *xferv1.TransferSpec) { m.Digest = xferv1.DigestKind_DIGEST_KIND_BLAKE3 }, ok},
		{"a digest of another version", func(m *xferv1.TransferSpec) { m.Digest = 99 }, transfer.InvalidSpec},
		{"expected digest", func(m *xferv1.TransferSpec) {
			m.Digest, m.ExpectedDigest = xferv1.DigestKind_DIGEST_KIND_XXH3, make([]byte, 16)
		}, ok},
		{"expected digest of an assembly", func(m *xferv1.TransferSpec) {
			assemble(m)
			m.Digest, m.ExpectedDigest = xferv1.DigestKind_DIGEST_KIND_SHA256, make([]byte, 32)
		}, ok},
		{"expected digest of no kind", func(m *xferv1.TransferSpec) { m.ExpectedDigest = make([]byte, 32) }, transfer.InvalidSpec},
		{"expected digest of another length", func(m *xferv1.TransferSpec) {
			m.Digest, m.ExpectedDigest = xferv1.DigestKind_DIGEST_KIND_SHA256, make([]byte, 16)
		}, transfer.InvalidSpec},
		{"expected digest of a tree", func(m *xferv1.TransferSpec) {
			mirror(m)
			m.Digest, m.ExpectedDigest = xferv1.DigestKind_DIGEST_KIND_SHA256, make([]byte, 32)
		}, transfer.InvalidSpec},

		{"a verification", func(m *xferv1.TransferSpec) { m.Mode = xferv1.Mode_MODE_VERIFY }, ok},
		{"a verification of two", func(m *xferv1.TransferSpec) {
			m.Mode, m.Destination.Mode = xferv1.Mode_MODE_VERIFY, xferv1.DestinationMode_DESTINATION_MODE_INTO_DIR
			sources(m, "/data/a", "/data/b")
		}, transfer.InvalidSpec},
		{"a verification that would replace", func(m *xferv1.TransferSpec) { m.Mode, m.Force = xferv1.Mode_MODE_VERIFY, true }, transfer.InvalidSpec},
		{"a verification with chmod", func(m *xferv1.TransferSpec) { m.Mode, m.Chmod = xferv1.Mode_MODE_VERIFY, "go-w" }, transfer.InvalidSpec},
		{"a verification that deletes", func(m *xferv1.TransferSpec) { m.Mode, m.Delete = xferv1.Mode_MODE_VERIFY, true }, transfer.InvalidSpec},
		{"delete of a copy", func(m *xferv1.TransferSpec) { m.Delete = true }, transfer.InvalidSpec},
		{"max_delete with force", func(m *xferv1.TransferSpec) { m.Force = true; m.MaxDelete = new(int64(5)) }, ok},
		{"max_delete without delete", func(m *xferv1.TransferSpec) { mirror(m); m.MaxDelete = new(int64(5)) }, transfer.InvalidSpec},
		{"delete with files_from", func(m *xferv1.TransferSpec) { mirror(m); m.Delete = true; m.FilesFrom = [][]byte{[]byte("x")} }, transfer.InvalidSpec},
		{"files_from", func(m *xferv1.TransferSpec) { m.FilesFrom = [][]byte{[]byte("x/y"), []byte("z")} }, ok},
		{"files_from absolute", func(m *xferv1.TransferSpec) { m.FilesFrom = [][]byte{[]byte("/x")} }, transfer.BadPath},
		{"files_from above", func(m *xferv1.TransferSpec) { m.FilesFrom = [][]byte{[]byte("../x")} }, transfer.BadPath},
		{"files_from empty", func(m *xferv1.TransferSpec) { m.FilesFrom = [][]byte{nil} }, transfer.BadPath},

		{"chmod", func(m *xferv1.TransferSpec) { m.Chmod = "D755,F644,go-w,a+rX,u=rwxs" }, ok},
		{"chmod 77777", func(m *xferv1.TransferSpec) { m.Chmod = "77777" }, transfer.InvalidSpec},
		{"chmod five digits", func(m *xferv1.TransferSpec) { m.Chmod = "00755" }, transfer.InvalidSpec},
		{"chmod 888", func(m *xferv1.TransferSpec) { m.Chmod = "888" }, transfer.InvalidSpec},
		{"chmod words", func(m *xferv1.TransferSpec) { m.Chmod = "F+executable" }, transfer.InvalidSpec},
		{"chmod comma", func(m *xferv1.TransferSpec) { m.Chmod = "u+x," }, transfer.InvalidSpec},

		{"pieces of a copy", func(m *xferv1.TransferSpec) { m.Pieces = &xferv1.Pieces{} }, transfer.InvalidSpec},
		{"assembly of sources", func(m *xferv1.TransferSpec) { assemble(m); sources(m, "/data/a") }, transfer.InvalidSpec},
		{"columns differ", func(m *xferv1.TransferSpec) { assemble(m); m.Pieces.Offset = m.Pieces.Offset[:1] }, transfer.InvalidSpec},
		{"no such path", func(m *xferv1.TransferSpec) { assemble(m); m.Pieces.PathIndex[1] = math.MaxUint32 }, transfer.InvalidSpec},
		{"piece before 0", func(m *xferv1.TransferSpec) { assemble(m); m.Pieces.Offset[0] = -1 }, transfer.InvalidSpec},
		{"piece of -2", func(m *xferv1.TransferSpec) { assemble(m); m.Pieces.Length[0] = -2 }, transfer.InvalidSpec},
		{"piece past 2^63", func(m *xferv1.TransferSpec) { assemble(m); m.Pieces.Length[0] = math.MaxInt64; m.Pieces.Offset[0] = 1 }, transfer.InvalidSpec},
		{"pieces overlap", func(m *xferv1.TransferSpec) { assemble(m); m.Pieces.DestOffset[1] = 9 }, transfer.InvalidSpec},
		{"open piece in the middle", func(m *xferv1.TransferSpec) { assemble(m); m.Pieces.DestOffset[0] = 99 }, transfer.InvalidSpec},
		{"piece is the destination", func(m *xferv1.TransferSpec) { assemble(m); m.TargetNode = "n1"; dest(m, "/data/x") }, transfer.SameFile},
		{"assembly into", func(m *xferv1.TransferSpec) {
			assemble(m)
			m.Destination.Mode = xferv1.DestinationMode_DESTINATION_MODE_INTO_DIR
		}, transfer.InvalidSpec},
	} {
		m := goodSpec()
		c.change(m)
		_, err := specIn(m)
		if got := transfer.ReasonOf(err); got != c.want {
			t.Errorf("%s: %q, want %q (%v)", c.name, got, c.want, err)
		}
	}
	if _, err := specIn(nil); transfer.ReasonOf(err) != transfer.InvalidSpec {
		t.Errorf("no spec: %v", err)
	}
}

func TestSpecDefaults(t *testing.T) {
	s, err := specIn(goodSpec())
	if err != nil {
		t.Fatal(err)
	}
	if s.Mode != transfer.ModeCopy || s.DestMode != transfer.DestExact || s.Preserve != transfer.PreserveDefault ||
		s.Compare != transfer.CompareSizeMtime || s.Verify != transfer.VerifyWire || s.Durability != transfer.DurabilityFull ||
		s.Policy != transfer.PolicyAuto || s.Encrypt != "auto" || s.Streams != 4 || s.ChunkSize != 4<<20 || s.MaxRate != 0 {
		t.Errorf("the defaults are %+v", s)
	}
	m := goodSpec()
	m.Preserve = &xferv1.Preserve{}
	if s, _ := specIn(m); s.Preserve != 0 {
		t.Errorf("an empty set of properties became %b", s.Preserve)
	}
}

// TestSpecRoundTrip: what Get shows can be submitted again, and is the same.
func TestSpecRoundTrip(t *testing.T) {
	for _, change := range []func(*xferv1.TransferSpec){
		func(*xferv1.TransferSpec) {}, mirror, assemble,
		func(m *xferv1.TransferSpec) {
			m.Filters = []*xferv1.FilterRule{{Include: true, Pattern: []byte("a")}}
			m.FilesFrom = [][]byte{[]byte("x")}
			m.Labels = map[string]string{"a": "b"}
			m.Deadline = timestamppb.New(time.Unix(4e9, 5))
			m.MaxBytesPerSecond = new(int64(7))
			m.Priority, m.Verify, m.Transport = xferv1.Priority_PRIORITY_LOW, xferv1.Verify_VERIFY_MEDIA, xferv1.TransportPolicy_TRANSPORT_POLICY_RDMA
			m.ChownUid, m.Chmod, m.DryRun = new(uint32(7)), "F600", true
		},
	} {
		m := goodSpec()
		change(m)
		first, err := specIn(m)
		if err != nil {
			t.Fatal(err)
		}
		shown := specOut(&first, true)
		second, err := specIn(shown)
		if err != nil {
			t.Fatal(err)
		}
		if again := specOut(&second, true); !proto.Equal(shown, again) {
			t.Errorf("%v became %v", shown, again)
		}
	}
}

func TestSameHash(t *testing.T) {
	base := sameHash(goodSpec(), "ann")
	for _, c := range []struct {
		name   string
		change func(*xferv1.TransferSpec)
		same   bool
	}{
		{"nothing", func(*xferv1.TransferSpec) {}, true},
		{"priority", func(m *xferv1.TransferSpec) { m.Priority = 1 }, true},
		{"rate", func(m *xferv1.TransferSpec) { m.MaxBytesPerSecond = new(int64(1)) }, true},
		{"deadline", func(m *xferv1.TransferSpec) { m.Deadline = timestamppb.Now() }, true},
		{"labels", func(m *xferv1.TransferSpec) { m.Labels = map[string]string{"a": "b"} }, true},
		{"destination", func(m *xferv1.TransferSpec) { dest(m, "/c") }, false},
		{"a default that is written", func(m *xferv1.TransferSpec) { m.Streams = new(int32(4)) }, false},
	} {
		m := goodSpec()
		c.change(m)
		if (sameHash(m, "ann") == base) != c.same {
			t.Errorf("%s: same is %t", c.name, !c.same)
		}
	}
	if sameHash(goodSpec(), "bob") == base {
		t.Error("two principals ask for the same")
	}
}
