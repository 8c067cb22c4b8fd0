package e2e

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// File bodies of a copy over TCP leave by sendfile(2), and several streams of
// one file run side by side: the kernel's own witness.
func TestP9SendfileMovesTheBodies(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	const size = 48 << 20
	src, dst := filepath.Join(f.daemons[0].data, "f"), filepath.Join(f.daemons[1].data, "f")
	newTree(t, f.daemons[0].data).file("f", size)

	stop := traceCalls(t, f.daemons[0].pid(), "-e", "trace=sendfile")
	tr := c.transfer(t, 0, "cp", "--chunk-size", "1MiB", "--streams", "4", "n1:"+src, "n2:"+dst)
	out := stop()
	equal(t, src, dst)

	calls, err := sendfiles(out)
	if err != nil {
		t.Fatal(err)
	}
	var bytes int64
	sockets := map[int]int64{}
	for _, s := range calls {
		if !s.offset {
			t.Errorf("sendfile to %d goes by the file's shared position", s.socket)
		}
		bytes += s.bytes
		sockets[s.socket] += s.bytes
	}
	if bytes != size {
		t.Errorf("%d bytes went by sendfile, of %d", bytes, size)
	}
	if len(sockets) != 4 {
		t.Errorf("streams and their bytes: %v, want 4", sockets)
	}
	// Side by side: the streams take turns.
	turns := 0
	for i := 1; i < len(calls); i++ {
		if calls[i].socket != calls[i-1].socket {
			turns++
		}
	}
	if turns < 8 {
		t.Errorf("the streams changed %d times in %d calls: one after the other", turns, len(calls))
	}
	// The status says the same.
	p := tr.GetDataPath()
	if p.GetSource().GetSendfileBytes() != size || p.GetSource().GetStreams() != 4 || p.GetTransport() != "tcp" {
		t.Errorf("the status says %v", p)
	}
}

// sent is one sendfile that moved bytes.
type sent struct {
	socket int
	offset bool // an offset of its own was given
	bytes  int64
}

var (
	wholeCall  = regexp.MustCompile(`^(\d+) +sendfile\((\d+), (\d+), (\S+).*\) += (\d+)`)
	callBegins = regexp.MustCompile(`^(\d+) +sendfile\((\d+), (\d+), (\S+).* <unfinished`)
	callEnds   = regexp.MustCompile(`^(\d+) +<\.\.\. sendfile resumed>.*\) += (\d+)`)
)

// sendfiles reads what strace wrote.
func sendfiles(path string) ([]sent, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []sent
	begun := map[string]sent{}
	for s := bufio.NewScanner(f); s.Scan(); {
		l := s.Text()
		if m := wholeCall.FindStringSubmatch(l); m != nil {
			socket, _ := strconv.Atoi(m[2])
			n, _ := strconv.ParseInt(m[5], 10, 64)
			out = append(out, sent{socket, m[4] != "NULL", n})
		} else if m := callBegins.FindStringSubmatch(l); m != nil {
			socket, _ := strconv.Atoi(m[2])
			begun[m[1]] = sent{socket: socket, offset: m[4] != "NULL"}
		} else if m := callEnds.FindStringSubmatch(l); m != nil {
			one := begun[m[1]]
			one.bytes, _ = strconv.ParseInt(m[2], 10, 64)
			out = append(out, one)
		}
	}
	return out, nil
}
