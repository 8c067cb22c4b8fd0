package receiver

import (
	"reflect"
	"strings"
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

func TestFramesRoundTrip(t *testing.T) {
	a := attemptFrame{Epoch: 1 << 63, Temps: ".xferd.x", ChunkSize: testChunk, Source: "n1"}
	if got, err := decodeAttempt(a.append(nil)); err != nil || got != a {
		t.Errorf("%+v %v", got, err)
	}
	f := tempFrame{Entry: 5, Name: "n", OldName: "o", Dev: 1, Ino: 1<<64 - 1, Dir: "/a\xff", Final: "f",
		Print: transfer.Fingerprint{Dev: 1, Ino: 2, Size: 3, Mtime: -4, Ctime: 5}}
	if got, err := decodeTemp(f.append(nil)); err != nil || got != f {
		t.Errorf("%+v %v", got, err)
	}
	landed := []landedExtent{{1, 2, 3, transport.Digest{4}}, {5, 1 << 62, 7, transport.Digest{}}}
	var back []landedExtent
	if err := decodeLanded(appendLanded(nil, landed), func(l landedExtent) { back = append(back, l) }); err != nil || !reflect.DeepEqual(back, landed) {
		t.Errorf("%+v %v", back, err)
	}
	temps := []smallTemp{{1, "/a", 1, 0, "x"}, {2, "/a", 2, 9, "y"}, {3, "/b", 3, 0, "x"}, {4, "/a", 4, 0, "z"}}
	var list []smallTemp
	if err := decodeTemps(appendTemps(nil, temps), func(s smallTemp) { list = append(list, s) }); err != nil || !reflect.DeepEqual(list, temps) {
		t.Errorf("%+v %v", list, err)
	}
	numbers := []uint64{0, 1, 1<<64 - 1}
	var n []uint64
	if err := decodeNumbers(appendNumbers(nil, numbers), func(v uint64) { n = append(n, v) }); err != nil || !reflect.DeepEqual(n, numbers) {
		t.Errorf("%v %v", n, err)
	}
}

func FuzzFrames(f *testing.F) {
	a := attemptFrame{Epoch: 3, Temps: ".xferd.x", ChunkSize: testChunk, Source: "n1"}
	f.Add(uint8(frameAttempt), a.append(nil))
	tf := tempFrame{Entry: 1, Name: "n", Dir: "/a", Final: "f"}
	f.Add(uint8(frameTemp), tf.append(nil))
	f.Add(uint8(frameLanded), appendLanded(nil, []landedExtent{{1, 2, 3, transport.Digest{}}}))
	f.Add(uint8(frameTemps), appendTemps(nil, []smallTemp{{1, "/a", 1, 0, "x"}}))
	f.Add(uint8(frameCommitted), appendNumbers(nil, []uint64{1, 2}))
	f.Add(uint8(frameLanded), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, typ uint8, payload []byte) {
		s := newScan()
		_ = s.frame(0, typ, payload) // no panic, and memory in proportion to the payload
		if len(s.open)+len(s.left) > len(payload)+1 {
			t.Errorf("%d temps out of %d bytes", len(s.open), len(payload))
		}
	})
}

func TestTempNames(t *testing.T) {
	uid := transfer.NewUID()
	name := newTempNames(uid, 1<<64-1, 1<<64-1).name(1<<64 - 1)
	if len(name) > 255 {
		t.Errorf("%d bytes", len(name))
	}
	if !strings.HasPrefix(name, tempPrefix+uid.String()+".18446744073709551615.") {
		t.Errorf("%s", name)
	}
}
