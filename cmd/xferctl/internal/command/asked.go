package command

import (
	"fmt"
	"strings"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

// askedPairs are what a transfer was asked for beyond its places, where it is not
// the default.
func askedPairs(s *xferv1.TransferSpec) [][2]string {
	limit := ""
	if n := s.GetMaxBytesPerSecond(); n > 0 {
		limit = show.Size(n) + "/s"
	}
	var filters []string
	for _, f := range s.GetFilters() {
		sign := "exclude "
		if f.GetInclude() {
			sign = "include "
		}
		filters = append(filters, sign+show.Name(string(f.GetPattern())))
	}
	verify := ""
	if s.GetVerify() != xferv1.Verify_VERIFY_UNSPECIFIED {
		verify = strings.ToLower(word(s.GetVerify(), "VERIFY_")) + " asked for"
	}
	digest := ""
	if s.GetDigest() != 0 {
		digest = digestWord(s) + " of every file asked for"
	}
	if d := s.GetExpectedDigest(); len(d) > 0 {
		digest = fmt.Sprintf("%s %x expected", digestWord(s), d)
	}
	return [][2]string{{"  bwlimit", limit}, {"  filters", strings.Join(filters, ", ")}, {"  verify", verify}, {"  digest", digest}}
}
