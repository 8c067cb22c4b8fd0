package proxy

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stream is a data stream with two chunks of 1000 and 3000 bytes.
func stream(t *testing.T) []byte {
	t.Helper()
	b := wire.AppendHello(nil, &wire.Hello{Major: wire.Major, UID: [16]byte{7}})
	for i, n := range []int64{1000, 3000} {
		var err error
		x := wire.Extent{Entry: 1, Length: n, Segments: []wire.Range{{Length: n}}}
		if b, err = wire.AppendChunk(b, &wire.Chunk{Seq: uint64(i), Extents: []wire.Extent{x}}); err != nil {
			t.Fatal(err)
		}
		b = append(b, bytes.Repeat([]byte{byte('a' + i)}, int(n))...)
		b = wire.AppendRaw(b, wire.TypeTrailer, make([]byte, 33))
	}
	return wire.AppendRaw(b, wire.TypeEnd, make([]byte, 8))
}

// However the bytes come, each of them is found to be what it is.
func TestPlaces(t *testing.T) {
	all := stream(t)
	for _, step := range []int{1, 3, 100, len(all)} {
		f, got := finder{data: true}, map[Place]int{}
		for i := 0; i < len(all); i += step {
			for b := all[i:min(i+step, len(all))]; len(b) > 0; {
				p, n := f.next(b)
				if p == Payload && b[0] != 'a' && b[0] != 'b' {
					t.Fatalf("%q is taken for payload", b[0])
				}
				got[p] += n
				b = b[n:]
			}
		}
		if got[Token] != 32 || got[Hello] != wire.HelloSize-32 || got[Length] != 5*4 || got[Header] != 5*12 ||
			got[Payload] != 4000 || got[Trailer] != 66 || got[Frame] != 8 || got[Any] != 0 || f.uid[0] != 7 || f.chunks != 2 {
			t.Errorf("in steps of %d: %v", step, got)
		}
	}
}

// through sends b through a proxy to a listener that takes what comes, and returns
// that and how the sender's reading ended.
func through(t *testing.T, cfg Config, b []byte) (got []byte, back error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg.Listen, cfg.To = "127.0.0.1:0", l.Addr().String()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	done := make(chan []byte)
	go func() {
		c, err := l.Accept()
		if err != nil {
			close(done)
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		_, _ = c.Write([]byte("thanks"))
		done <- b
	}()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Write(b); err == nil {
		_ = c.(*net.TCPConn).CloseWrite()
	}
	got = <-done
	answer, err := io.ReadAll(c)
	if err == nil && string(answer) != "thanks" {
		err = io.ErrUnexpectedEOF
	}
	return got, err
}

func TestVerdicts(t *testing.T) {
	all := bytes.Repeat([]byte("0123456789"), 1000)
	at := func(v Verdict) func(*Part) Verdict {
		return func(p *Part) Verdict {
			if p.Back || p.Offset+int64(len(p.Bytes)) <= 5000 {
				return Pass
			}
			p.Bytes = p.Bytes[:5000-p.Offset]
			return v
		}
	}
	if got, err := through(t, Config{Slice: 7}, all); !bytes.Equal(got, all) || err != nil {
		t.Errorf("nothing is to be done, and %d bytes came, %v", len(got), err)
	}
	if got, err := through(t, Config{Judge: at(HalfClose)}, all); !bytes.Equal(got, all[:5000]) || err != nil {
		t.Errorf("half closed: %d bytes came, %v", len(got), err)
	}
	for _, v := range []Verdict{Truncate, Reset} {
		if got, err := through(t, Config{Judge: at(v)}, all); len(got) > 5000 || err == nil {
			t.Errorf("verdict %d: %d bytes came, %v", v, len(got), err)
		}
	}
	flipped, err := through(t, Config{Judge: func(p *Part) Verdict {
		if !p.Back && p.Offset == 0 {
			p.Bytes[0] ^= 1
		}
		return Pass
	}}, all)
	if err != nil || flipped[0] != all[0]^1 || !bytes.Equal(flipped[1:], all[1:]) {
		t.Errorf("flipped: %v", err)
	}
}
