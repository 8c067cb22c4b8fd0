package server

import "github.com/xferd/xferd/transfer"

// chmodIn checks a list of changes of permissions, by the rules of the target,
// which applies them.
func chmodIn(field, s string) error {
	if len(s) > maxChmod {
		return invalid(field, "it has %d bytes; at most %d may be", len(s), maxChmod)
	}
	if _, err := transfer.ParseChmod(s); err != nil {
		return invalid(field, "%v; items are of the form [D|F]755 or [D|F][ugoa]+rwxXst", err)
	}
	return nil
}
