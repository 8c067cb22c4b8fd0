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

// tempUID returns the uid in a temporary name.
func tempUID(name string) (uid transfer.UID, ok bool) {
	rest, ok := strings.CutPrefix(name, tempPrefix)
	if !ok || len(rest) < 33 || rest[32] != '.' {
		return uid, false
	}
	return uid, uid.UnmarshalText([]byte(rest[:32])) == nil
}
