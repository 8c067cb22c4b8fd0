package verbs

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestManual holds numbers in docs/rdma-wire.md to those of the code.
func TestManual(t *testing.T) {
	text, err := os.ReadFile("../../docs/rdma-wire.md")
	if err != nil {
		t.Fatal(err)
	}
	flat := strings.Join(strings.Fields(string(text)), " ")
	var l Limits
	if err := l.fill(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("version %d of what", version),
		fmt.Sprintf("**header cell** of %d KiB", cellSize>>10),
		fmt.Sprintf("| 0 | 4 | 0x%08x |", cellMagic),
		fmt.Sprintf("| %d | | the Chunk frame", cellFixed),
		fmt.Sprintf("CRC32C of bytes 8 to %d", cellFixed),
		fmt.Sprintf("requests of at most %d MiB", writeSize>>20),
		fmt.Sprintf("an immediate of 0x%08x", probeImmediate(0)),
		fmt.Sprintf("within %.0f seconds, at most %d set-ups", l.Handshake.Seconds(), l.Setups),
		fmt.Sprintf("sends again %d times", l.Retries),
		fmt.Sprintf("is 2^%d times 4.096 us, on a device in software 2^%d times", l.ackTimeout(false), l.ackTimeout(true)),
		fmt.Sprintf("back within %.0f seconds the memory", l.Destroy.Seconds()),
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("docs/rdma-wire.md does not say %q any more: has the code changed, or only the words?", want)
		}
	}
	for _, k := range []kind{kindConnect, kindReady, kindProbed, kindGrant, kindFail} {
		if !strings.Contains(string(text), fmt.Sprintf("| `%c` |", k)) {
			t.Errorf("message %q is not described", k)
		}
	}
}
