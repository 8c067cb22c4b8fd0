package rdma

import (
	"reflect"
	"testing"

	"github.com/xferd/xferd/rdma/internal/ibv"
)

// TestRecordsHaveTheLayoutOfC: the arrays of the data path go to C as they are.
func TestRecordsHaveTheLayoutOfC(t *testing.T) {
	want := ibv.Layout()
	if want == nil {
		t.Skip("built without cgo")
	}
	got := map[string]uintptr{}
	for _, record := range []any{SGE{}, SendRequest{}, ReceiveRequest{}, WorkCompletion{}} {
		typ := reflect.TypeOf(record)
		got[typ.Name()] = typ.Size()
		for i := range typ.NumField() {
			if f := typ.Field(i); f.Name != "_" {
				got[typ.Name()+"."+f.Name] = f.Offset
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Go has %v,\nC has %v", got, want)
	}
	if MaxSGE != ibv.MaxSGE {
		t.Errorf("MaxSGE is %d, in C %d", MaxSGE, ibv.MaxSGE)
	}
}

func TestSpeedOfAPort(t *testing.T) {
	for _, c := range []struct {
		speed, width uint8
		want         uint64
	}{{1, 1, 2_500_000_000}, {32, 2, 100_000_000_000}, {128, 2, 400_000_000_000}, {64, 16, 100_000_000_000}, {0, 2, 0}, {1, 0, 0}} {
		if got := speed(c.speed, c.width); got != c.want {
			t.Errorf("speed(%d, %d) = %d, want %d", c.speed, c.width, got, c.want)
		}
	}
}
