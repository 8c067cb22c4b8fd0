package server

import "strings"

// chmodIn checks the grammar of rsync's --chmod: items with commas between
// them, each of an optional D or F and either octal digits or classes, operator
// and permissions. What they do is the target's business.
func chmodIn(field, s string) error {
	if s == "" {
		return nil
	}
	if len(s) > maxChmod {
		return invalid(field, "it has %d bytes; at most %d may be", len(s), maxChmod)
	}
	for item := range strings.SplitSeq(s, ",") {
		if !chmodItem(item) {
			return invalid(field, "%q is not of the form [D|F]755 or [D|F][ugoa]+rwxXst", item)
		}
	}
	return nil
}

func chmodItem(item string) bool {
	if item != "" && (item[0] == 'D' || item[0] == 'F') {
		item = item[1:]
	}
	if item == "" {
		return false
	}
	if item[0] >= '0' && item[0] <= '7' {
		return len(item) <= 4 && strings.Trim(item, "01234567") == ""
	}
	item = strings.TrimLeft(item, "ugoa")
	if item == "" || !strings.ContainsRune("+-=", rune(item[0])) {
		return false
	}
	return strings.Trim(item[1:], "rwxXst") == ""
}
