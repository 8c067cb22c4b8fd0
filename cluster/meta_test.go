package cluster

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func fullRecord() record {
	return record{
		Meta: Meta{
			Control:      netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:65535"),
			Data:         netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:7777]:65534"),
			HTTPPort:     65535,
			Zone:         strings.Repeat("z", MaxPlace),
			Rack:         strings.Repeat("r", MaxPlace),
			Capabilities: ^Capability(0),
			Draining:     true,
			Version:      strings.Repeat("v", MaxVersion),
		},
		id:       strings.Repeat("n", MaxNodeID),
		instance: strings.Repeat("i", MaxInstance),
		started:  time.UnixMilli(1 << 48),
		phase:    phaseDraining,
	}
}

var sameRecord = cmp.Options{
	cmp.AllowUnexported(record{}),
	cmpopts.EquateComparable(netip.AddrPort{}),
}

func TestMetaWorstCaseFits(t *testing.T) {
	r := fullRecord()
	b := r.encode()
	t.Logf("worst case: %d of %d bytes", len(b), MaxMeta)
	if len(b) > MaxMeta {
		t.Fatal("too long")
	}
	got, err := decodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, got, sameRecord); d != "" {
		t.Error(d)
	}
}

func TestMetaRoundTrip(t *testing.T) {
	for _, tc := range []struct {
		name string
		m    Meta
	}{
		{"nothing", Meta{}},
		{"ports only", Meta{Control: netip.AddrPortFrom(netip.Addr{}, 7440), Data: netip.AddrPortFrom(netip.Addr{}, 7441)}},
		{"v4", Meta{Control: netip.MustParseAddrPort("10.1.2.3:1"), Zone: "a", Version: "v1.2.3"}},
		{"capabilities", Meta{Capabilities: CapTCP | CapRoCE | CapRegions, HTTPPort: 7443}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := record{Meta: tc.m, id: "n1", instance: "abc", started: time.UnixMilli(1700000000000)}
			got, err := decodeRecord(want.encode())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, sameRecord); d != "" {
				t.Error(d)
			}
		})
	}
}

// An unspecified or mapped address is told in its plain form.
func TestMetaAddressForms(t *testing.T) {
	r := record{id: "n1", instance: "abc", started: time.UnixMilli(0), Meta: Meta{
		Control: netip.MustParseAddrPort("0.0.0.0:7440"), Data: netip.MustParseAddrPort("[::ffff:10.0.0.1]:7441"),
	}}
	got, err := decodeRecord(r.encode())
	if err != nil {
		t.Fatal(err)
	}
	gossip := netip.MustParseAddr("10.9.9.9")
	if s := hostPort(got.Control, gossip); s != "10.9.9.9:7440" {
		t.Errorf("control is %s", s)
	}
	if s := hostPort(got.Data, gossip); s != "10.0.0.1:7441" {
		t.Errorf("data is %s", s)
	}
	if s := hostPort(netip.AddrPort{}, gossip); s != "" {
		t.Errorf("no port gives %q", s)
	}
}

func TestMetaRefusals(t *testing.T) {
	good := fullRecord()
	base := good.encode()
	for n := range len(base) {
		if _, err := decodeRecord(base[:n]); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
	if _, err := decodeRecord(append(bytes.Clone(base), 1, 2, 3)); err != nil {
		t.Errorf("fields of a newer version: %v", err)
	}
	if _, err := decodeRecord(append(bytes.Clone(base), make([]byte, MaxMeta)...)); err == nil {
		t.Error("too long: no error")
	}
	for _, tc := range []struct {
		name string
		r    record
	}{
		{"id with a slash", record{id: "a/b", instance: "x"}},
		{"id with a tilde", record{id: "a~b", instance: "x"}},
		{"no id", record{instance: "x"}},
		{"no instance", record{id: "a"}},
		{"instance in capitals", record{id: "a", instance: "X"}},
		{"control bytes", record{id: "a", instance: "x", Meta: Meta{Zone: "\x1b[2J"}}},
		{"phase", record{id: "a", instance: "x", phase: 9}},
	} {
		if _, err := decodeRecord(tc.r.encode()); err == nil {
			t.Errorf("%s: no error", tc.name)
		}
	}
	other := bytes.Clone(base)
	other[0]++
	if _, err := decodeRecord(other); err == nil {
		t.Error("another format: no error")
	}
}

func TestCheckNodeID(t *testing.T) {
	for id, ok := range map[string]bool{
		"n1": true, "gpu-07.rack_2": true, "N": true, "0": true, strings.Repeat("x", 63): true,
		"": false, "-a": false, ".a": false, "a b": false, "n1:7440": false, "ü": false, "a\n": false,
		strings.Repeat("x", 64): false,
	} {
		if err := CheckNodeID(id); (err == nil) != ok {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func FuzzMeta(f *testing.F) {
	full := fullRecord()
	small := record{id: "n1", instance: "abc", started: time.UnixMilli(1)}
	f.Add(full.encode())
	f.Add(small.encode())
	f.Add([]byte{})
	f.Add([]byte{metaFormat, 255})
	f.Add(append([]byte{metaFormat, 1, 'a', 1, 'b'}, bytes.Repeat([]byte{0xff}, 12)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err != nil {
			return
		}
		again := r.encode()
		if len(again) > MaxMeta {
			t.Fatalf("%d bytes", len(again))
		}
		r2, err := decodeRecord(again)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, r2, sameRecord); d != "" {
			t.Fatal(d)
		}
	})
}
