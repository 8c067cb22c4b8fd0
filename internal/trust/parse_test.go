package trust

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

const procTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1D10 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0 100 0 0 10 0
   1: 0100007F:9C40 0100007F:1D10 01 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0 20 4 30 10 -1
   2: 0100007F:9C41 0100007F:1D10 06 00000000:00000000 03:00000A8C 00000000     0        0 0 3 0
   3: 0100007F:9C42 0100007F:1D10 01 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   4: 0000000000000000FFFF00000100007F:9C43 0000000000000000FFFF00000100007F:1D10 01 00000000:00000000 00:00000000 00000000  1001        0 12346 1 0
`

func TestProcOwner(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("SKIP the table above is of a little-endian machine")
	}
	server := netip.MustParseAddrPort("127.0.0.1:7440")
	for port, want := range map[uint16]int{40000: 1000, 40001: -1, 40002: -1, 40003: 1001, 7440: -1, 1: -1} {
		uid, err := procOwner(strings.NewReader(procTable), netip.AddrPortFrom(server.Addr(), port), server)
		switch {
		case want < 0 && !errors.Is(err, errNoSocket):
			t.Errorf("port %d: uid %d, %v", port, uid, err)
		case want >= 0 && (err != nil || uid != uint32(want)):
			t.Errorf("port %d: uid %d, %v", port, uid, err)
		}
	}
}

func FuzzProcOwner(f *testing.F) {
	f.Add(procTable)
	f.Add("\n0: zz:1 0:0 01 a b c -1 0 1\n")
	f.Add("\n0: 0100007F:9C40 0100007F:1D10 01 a b c 99999999999 0 1\n")
	client, server := netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("127.0.0.1:7440")
	f.Fuzz(func(t *testing.T, table string) {
		if uid, err := procOwner(strings.NewReader(table), client, server); err != nil && uid != 0 {
			t.Errorf("uid %d with %v", uid, err)
		}
	})
}

// answer builds what the kernel says of one socket.
func answer(state byte, src, dst netip.AddrPort, uid, inode uint32) []byte {
	b := make([]byte, diagMsgLen)
	b[1] = state
	putDiagID(b[4:], src, dst)
	binary.NativeEndian.PutUint32(b[64:], uid)
	binary.NativeEndian.PutUint32(b[68:], inode)
	return b
}

func TestDiagOwner(t *testing.T) {
	ap := netip.MustParseAddrPort
	c4, s4 := ap("127.0.0.1:40000"), ap("127.0.0.1:7440")
	mapped := func(a netip.AddrPort) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
	}
	for name, tc := range map[string]struct {
		b    []byte
		want int // -1: no socket, -2: another error
	}{
		"established":     {answer(tcpEstablished, c4, s4, 1000, 5), 1000},
		"mapped":          {answer(tcpEstablished, mapped(c4), mapped(s4), 1000, 5), 1000},
		"time wait":       {answer(6, c4, s4, 0, 0), -1},
		"orphan":          {answer(tcpEstablished, c4, s4, 0, 0), -1},
		"listener":        {answer(10, c4, ap("0.0.0.0:0"), 0, 5), -1},
		"another port":    {answer(tcpEstablished, ap("127.0.0.1:40001"), s4, 0, 5), -1},
		"another server":  {answer(tcpEstablished, c4, ap("127.0.0.2:7440"), 0, 5), -1},
		"mapped stranger": {answer(tcpEstablished, mapped(ap("127.0.0.2:40000")), mapped(s4), 0, 5), -1},
		"short":           {make([]byte, diagMsgLen-1), -2},
		"empty":           {nil, -2},
	} {
		uid, err := diagOwner(tc.b, c4, s4)
		got := int(uid)
		if errors.Is(err, errNoSocket) {
			got = -1
		} else if err != nil {
			got = -2
		}
		if got != tc.want {
			t.Errorf("%s: %d (%v)", name, got, err)
		}
	}
}

func FuzzDiagOwner(f *testing.F) {
	client, server := netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("127.0.0.1:7440")
	f.Add(answer(tcpEstablished, client, server, 1000, 5))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		if uid, err := diagOwner(b, client, server); err != nil && uid != 0 {
			t.Errorf("uid %d with %v", uid, err)
		}
	})
}

func TestCheckListen(t *testing.T) {
	for _, tc := range []struct {
		addr          string
		tls, insecure bool
		exposed       bool
	}{
		{"127.0.0.1:7440", false, false, false},
		{"127.9.9.9:7440", false, false, false},
		{"[::1]:7440", false, false, false},
		{"[::ffff:127.0.0.1]:7440", false, false, false},
		{"localhost:0", false, false, false},
		{"unix:///run/xferd.sock", false, false, false},
		{"/run/xferd.sock", false, false, false},
		{"0.0.0.0:7440", false, false, true},
		{":7440", false, false, true},
		{"[::]:7440", false, false, true},
		{"10.0.0.1:7440", false, false, true},
		{"localhost.evil.example:7440", false, false, true},
		{"0.0.0.0:7440", true, false, false},
		{"0.0.0.0:7440", false, true, false},
	} {
		err := CheckListen(tc.addr, tc.tls, tc.insecure)
		if errors.Is(err, ErrExposed) != tc.exposed || !tc.exposed && err != nil {
			t.Errorf("%+v: %v", tc, err)
		}
	}
	if err := CheckListen("7440", true, true); err == nil {
		t.Error("an address without a port was taken")
	}
}
