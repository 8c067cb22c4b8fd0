package receiver

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/manifest"
)

// tempPrefix begins the names that belong to xferd. No transfer may publish
// such a name, and no deletion touches one.
const tempPrefix = manifest.ReservedPrefix

// tempNames makes the names of temporary files of one attempt:
// .xferd.<uid>.<attempt>.<random>, where random begins with 64 bits of the
// attempt's own and ends with a number that is used once.
type tempNames struct {
	prefix string
}

func newTempNames(uid transfer.UID, epoch uint64, random uint64) tempNames {
	return tempNames{prefix: tempPrefix + hex.EncodeToString(uid[:]) + "." + strconv.FormatUint(epoch, 10) + "." + fmt.Sprintf("%016x", random)}
}

func (t tempNames) name(n uint64) string { return t.prefix + strconv.FormatUint(n, 36) }

// left says whether a temporary file is of a transfer that is over here, as far
// as its name tells.
func (r *Receiver) left(name string) bool {
	text, _, _ := strings.Cut(strings.TrimPrefix(name, tempPrefix), ".")
	var uid transfer.UID
	return uid.UnmarshalText([]byte(text)) == nil && !r.holds(uid)
}
