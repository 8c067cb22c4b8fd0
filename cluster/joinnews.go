package cluster

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
)

// tellAgain is how long a cause that stays is not repeated in the log.
const tellAgain = 30 * time.Minute

// maxCauses bounds how many failures one line of the log has.
const maxCauses = 5

// joinFailure is a seed, or a peer of an earlier life, that could not be joined.
type joinFailure struct {
	who    string // the address, or the name that cannot be looked up
	cause  string // without addresses, so that it stays the same from try to try
	lookup bool   // its name could not be looked up
}

// joinNews tells the log whether a node found its cluster: that it is alone once
// for each cause, and that it is not any more. It belongs to the seeker's
// goroutine.
type joinNews struct {
	log   *slog.Logger
	told  map[string]time.Time // causes, and when they were told last
	alone bool                 // the log says so
}

func newJoinNews(l *slog.Logger) joinNews {
	return joinNews{log: l, told: map[string]time.Time{}}
}

// attempted takes what an attempt to find others gave: who could not be joined,
// and how many others are here all the same.
func (n *joinNews) attempted(seeds []string, failures []joinFailure, others int, first bool) {
	if others > 0 {
		if first || n.alone {
			n.log.Info("joined the cluster", "others", others)
			n.alone = false
			clear(n.told) // alone again later is news again
		}
		failures = slices.DeleteFunc(failures, func(f joinFailure) bool { return !f.lookup })
		if n.fresh(failures) {
			n.log.Warn("the address of a node to join cannot be looked up", "cause", causes(failures))
		}
		return
	}
	if !n.fresh(failures) {
		return
	}
	n.alone = true
	attrs := []any{"seeds", strings.Join(seeds, " "), "cause", causes(failures)}
	if slices.ContainsFunc(failures, func(f joinFailure) bool { return hungUp(f.cause) }) {
		attrs = append(attrs, "hint", "who hangs up at once is of another cluster (see cluster in the configuration), has other gossip keys, or is no xferd")
	}
	n.log.Warn("no other node could be joined; this one is alone, and keeps trying", attrs...)
}

// fresh reports whether any of the causes was not told for a while, and notes
// them all as told then.
func (n *joinNews) fresh(failures []joinFailure) bool {
	now := time.Now()
	maps.DeleteFunc(n.told, func(_ string, at time.Time) bool { return now.Sub(at) >= tellAgain })
	fresh := slices.ContainsFunc(failures, func(f joinFailure) bool { return n.told[f.cause].IsZero() })
	if fresh {
		for _, f := range failures {
			n.told[f.cause] = now
		}
	}
	return fresh
}

func causes(failures []joinFailure) string {
	var list []string
	for _, f := range failures[:min(len(failures), maxCauses)] {
		list = append(list, f.who+": "+f.cause)
	}
	if more := len(failures) - maxCauses; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, "; ")
}

func hungUp(cause string) bool {
	return cause == "EOF" || strings.HasSuffix(cause, "reset by peer") || strings.HasSuffix(cause, "broken pipe") || strings.HasSuffix(cause, "closed pipe")
}

// causeOf is the last part of memberlist's text, which is the one without
// addresses and ports: "connection refused".
func causeOf(err error) string {
	text := strings.TrimSpace(err.Error())
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}
