package docs

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/transfer/manifest"
)

// TestNumbers holds numbers in the manuals to those of the code. It does not
// prove a layout; it makes who changes one look here.
func TestNumbers(t *testing.T) {
	for page, wants := range map[string][]string{
		"wire.md": {
			fmt.Sprintf("### Hello, %d bytes", wire.HelloSize),
			fmt.Sprintf("### Reply, %d bytes", wire.ReplySize),
			fmt.Sprintf("magic `%s`", wire.Magic),
			fmt.Sprintf("| 8 | 2 | major version, %d |", wire.Major),
			fmt.Sprintf("| 10 | 2 | minor version, %d |", wire.Minor),
			fmt.Sprintf("prefix of %d bytes", wire.PrefixSize),
			fmt.Sprintf("up to %d extents with %d segments", wire.MaxExtents, wire.MaxSegments),
			fmt.Sprintf("at most %d bytes. \"Placed\"", wire.MaxText),
			fmt.Sprintf("| 0x%04x | Chunk |", uint16(wire.TypeChunk)),
			fmt.Sprintf("| 0x%04x | Trailer |", uint16(wire.TypeTrailer)),
			fmt.Sprintf("| 0x%04x | Ack |", uint16(wire.TypeAck)),
			fmt.Sprintf("| 0x%04x | End |", uint16(wire.TypeEnd)),
			fmt.Sprintf("| 0x%04x | Fail |", uint16(wire.TypeFail)),
			fmt.Sprintf("| 0x%04x | Alive |", uint16(wire.TypeAlive)),
			fmt.Sprintf("string, at most %d bytes, one component", manifest.MaxName),
			fmt.Sprintf("string, at most %d bytes |", manifest.MaxLink),
			fmt.Sprintf("at most %d and %d KiB in all", manifest.MaxXattrs, manifest.MaxXattrBytes>>10),
		},
		"state.md": {
			fmt.Sprintf("at most %d MiB", store.MaxPayload>>20),
			fmt.Sprintf("begin with `%s`", manifest.ReservedPrefix),
		},
	} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		flat := strings.Join(strings.Fields(string(text)), " ")
		for _, want := range wants {
			if !strings.Contains(flat, want) {
				t.Errorf("%s does not say %q any more: has the code changed, or only the words?", page, want)
			}
		}
	}
}
