package server

import (
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

func prepared(m *xferv1.TransferSpec) { m.Prepared = true }

// A prepared transfer is of regions alone, and nothing is asked of it that a post
// cannot give.
func TestPreparedSpecs(t *testing.T) {
	regions := both(fromRegion("a", 0, nil), toRegion("b", 0), prepared)
	for _, tt := range []struct {
		name   string
		change func(*xferv1.TransferSpec)
		want   transfer.Reason
	}{
		{"regions", regions, ""},
		{"pieces of regions", both(gather([]string{"r"}, [4]int64{1, 0, 5, 0}, [4]int64{1, 9, 5, 7}), toRegion("b", 3), prepared), ""},
		{"to a file", both(fromRegion("a", 0, nil), func(m *xferv1.TransferSpec) { dest(m, "/data/x") }, prepared), transfer.InvalidSpec},
		{"from a file", both(func(m *xferv1.TransferSpec) { sources(m, "/data/a") }, toRegion("b", 0), prepared), transfer.InvalidSpec},
		{"a piece of a file", both(gather([]string{"r"}, [4]int64{1, 0, 5, 0}, [4]int64{0, 0, 5, 9}), toRegion("b", 0), prepared), transfer.InvalidSpec},
		{"not a byte", both(gather([]string{"r"}, [4]int64{1, 0, 0, 0}), toRegion("b", 0), prepared), transfer.InvalidSpec},
		{"files", prepared, transfer.InvalidSpec},
		{"dry run", both(regions, func(m *xferv1.TransferSpec) { m.DryRun = true }), transfer.InvalidSpec},
		{"digest", both(regions, func(m *xferv1.TransferSpec) { m.Digest = xferv1.DigestKind_DIGEST_KIND_XXH3 }), transfer.InvalidSpec},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := goodSpec()
			tt.change(m)
			s, err := specIn(m)
			if transfer.ReasonOf(err) != tt.want {
				t.Fatalf("%+v, error %v, want %s", s, err, tt.want)
			}
			if err != nil {
				return
			}
			if again, err := specIn(specOut(&s, true)); err != nil || !again.Prepared {
				t.Errorf("what is shown of it gives %+v, error %v", again, err)
			}
		})
	}
}
