package place

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/xferd/xferd/cmd/internal/quantity"
)

// Region is a memory region of a node, or a range of one.
type Region struct {
	Node, ID string
	Offset   int64
	Length   int64 // -1: up to the end of the region
	Ranged   bool  // an offset was typed
}

// regionID is what xferd accepts as the name of a region.
var regionID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// String gives the region as it would be typed.
func (r Region) String() string {
	s := r.Node + ":@" + r.ID
	if r.Ranged || r.Offset > 0 || r.Length >= 0 {
		s += "+" + strconv.FormatInt(r.Offset, 10)
	}
	if r.Length >= 0 {
		s += "," + strconv.FormatInt(r.Length, 10)
	}
	return s
}

// CheckRegion reports why id cannot be the name of a region.
func CheckRegion(id string) error {
	if !regionID.MatchString(id) {
		return fmt.Errorf("%q is not the name of a region: it has 1 to 128 of the characters A-Z a-z 0-9 . _ -, the first a letter or digit", id)
	}
	return nil
}

// IsRegion reports whether an argument names a region: "node:@" and what follows.
func IsRegion(arg string) bool {
	node, rest, ok := strings.Cut(arg, ":")
	return ok && !strings.Contains(node, "/") && strings.HasPrefix(rest, "@")
}

// ParseRegion reads "node:@id", "node:@id+offset" and "node:@id+offset,length".
// Offset and length are bytes, as numbers or with a unit: 4096, 4KiB.
func ParseRegion(arg string) (Region, error) {
	r := Region{Length: -1}
	if !IsRegion(arg) {
		return r, fmt.Errorf("%q is no region: write NODE:@REGION", arg)
	}
	node, rest, _ := strings.Cut(arg, ":@")
	if err := checkNodePart(node, arg); err != nil {
		return r, err
	}
	r.Node = node
	id, span, ranged := strings.Cut(rest, "+")
	if err := CheckRegion(id); err != nil {
		hint := ""
		if !ranged && strings.Contains(id, ",") {
			hint = fmt.Sprintf("; a range is %s:@REGION+OFFSET,LENGTH", node)
		}
		return r, fmt.Errorf("%q: %w%s", arg, err, hint)
	}
	r.ID, r.Ranged = id, ranged
	if !ranged {
		return r, nil
	}
	offset, length, limited := strings.Cut(span, ",")
	var err error
	if r.Offset, err = parseBytes(offset); err != nil {
		return r, fmt.Errorf("%q: offset: %w", arg, err)
	}
	if limited {
		if r.Length, err = parseBytes(length); err != nil {
			return r, fmt.Errorf("%q: length: %w", arg, err)
		}
		if r.Offset > math.MaxInt64-r.Length {
			return r, fmt.Errorf("%q: no region is as large as that", arg)
		}
	}
	return r, nil
}

// parseBytes reads a plain number of bytes, or one with a unit.
func parseBytes(s string) (int64, error) {
	if s == "" {
		return 0, errors.New("it is missing: write a number of bytes, such as 4096 or 4KiB")
	}
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s is more than any region has", s)
		}
		return n, nil
	}
	return quantity.ParseSize(s)
}
