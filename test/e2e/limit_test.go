package e2e

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A limit of the rate is asked of the kernel as well, for each stream
// (SO_MAX_PACING_RATE), and it costs no copy: the bodies still go by sendfile.
// Without a limit the kernel is told so.
func TestLimitIsPacedByTheKernel(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	const size, rate, streams = 12 << 20, 48 << 20, 4
	src := newTree(t, f.daemons[0].data).file("f", size)
	asked := regexp.MustCompile(`setsockopt\(\d+, SOL_SOCKET, SO_MAX_PACING_RATE, "((?:\\x[0-9a-f]{2}){8})"`)
	for _, limit := range []string{"48MiB", ""} {
		args := []string{"cp", "--chunk-size", "1MiB", "--streams", strconv.Itoa(streams), "n1:" + src, "n2:" + filepath.Join(f.daemons[1].data, "to"+limit)}
		if limit != "" {
			args = append(args, "--bwlimit", limit)
		}
		stop := traceCalls(t, f.daemons[0].pid(), "-xx", "-e", "trace=setsockopt")
		tr := c.transfer(t, 0, args...)
		trace := string(must(os.ReadFile(stop()))(t))
		calls := asked.FindAllStringSubmatch(trace, -1)
		want := uint64(math.MaxUint64)
		if limit != "" {
			want = rate
		}
		for _, m := range calls {
			b := must(hex.DecodeString(strings.ReplaceAll(m[1], `\x`, "")))(t)
			if n := binary.NativeEndian.Uint64(b); n != want {
				t.Errorf("limit %q: the kernel is asked for %d, want %d", limit, n, want)
			}
		}
		if p := tr.GetDataPath().GetSource(); p.GetSendfileBytes() != size || p.GetCopiedBytes() != 0 {
			t.Errorf("limit %q: %d bytes by sendfile, %d by copies", limit, p.GetSendfileBytes(), p.GetCopiedBytes())
		}
		if limit != "" && len(calls) < streams {
			t.Errorf("%d streams are paced\n%s", len(calls), trace)
		}
	}
}
