package server

import (
	"testing"

	"google.golang.org/protobuf/proto"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// FuzzSpec: no request makes the checks panic, every refusal has a reason of the
// caller's making, and what passes comes back the same.
func FuzzSpec(f *testing.F) {
	for _, change := range []func(*xferv1.TransferSpec){func(*xferv1.TransferSpec) {}, mirror, assemble} {
		m := goodSpec()
		change(m)
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &xferv1.TransferSpec{}
		if proto.Unmarshal(b, m) != nil {
			return
		}
		s, err := specIn(m)
		if err != nil {
			if info := xferv1.ReasonInfoByName(string(transfer.ReasonOf(err))); info.GetStatusCode() != xferv1.StatusCode_STATUS_CODE_INVALID_ARGUMENT {
				t.Fatalf("%v: %v", m, err)
			}
			return
		}
		again, err := specIn(specOut(&s, true))
		if err != nil {
			t.Fatalf("%v is not taken again: %v", m, err)
		}
		if !proto.Equal(specOut(&s, true), specOut(&again, true)) {
			t.Fatalf("%v became %v", s, again)
		}
	})
}
