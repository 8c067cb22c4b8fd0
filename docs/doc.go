// Package docs holds the manuals of xferd. There is no code in it, only tests
// that keep the manuals true: reasons.md is made from the table of reasons in
// api/xfer/v1 (go test ./docs -update), and links lead somewhere.
package docs
