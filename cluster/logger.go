package cluster

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// maxLogLine bounds one message of memberlist in bytes; some print metadata.
const maxLogLine = 400

// gossipLog turns memberlist's lines ("[LEVEL] memberlist: text") into records,
// counts those that tell of refused messages, and holds floods back: anybody
// can send packets to the port.
type gossipLog struct {
	log     *slog.Logger
	limit   *rate.Limiter
	stats   *stats
	skipped atomic.Uint64
	quiet   atomic.Bool // at shutdown everything is debug
}

func newGossipLog(l *slog.Logger, s *stats) *gossipLog {
	return &gossipLog{log: l, limit: rate.NewLimiter(rate.Every(time.Second), 30), stats: s}
}

func (g *gossipLog) logger() *log.Logger { return log.New(g, "", 0) }

var levels = []struct {
	tag   string
	level slog.Level
}{
	{"[DEBUG] ", slog.LevelDebug},
	{"[INFO] ", slog.LevelInfo},
	{"[WARN] ", slog.LevelWarn},
	{"[ERR] ", slog.LevelWarn}, // of the network or of a peer, not of this node
	{"[ERROR] ", slog.LevelWarn},
}

// Write takes one line.
func (g *gossipLog) Write(p []byte) (int, error) {
	n := len(p)
	level, p := slog.LevelInfo, bytes.TrimRight(p, "\n")
	for _, l := range levels {
		if rest, ok := bytes.CutPrefix(p, []byte(l.tag)); ok {
			level, p = l.level, rest
			break
		}
	}
	p = bytes.TrimPrefix(p, []byte("memberlist: "))
	g.count(p)
	if g.quiet.Load() || usual(p) {
		level = slog.LevelDebug
	}
	ctx := context.Background()
	if !g.log.Enabled(ctx, level) {
		return n, nil
	}
	if level > slog.LevelDebug && !g.limit.Allow() {
		g.skipped.Add(1)
		return n, nil
	}
	if len(p) > maxLogLine {
		p = p[:maxLogLine]
	}
	attrs := []slog.Attr{slog.String("msg", string(p))}
	attrs[0].Key = "detail"
	if k := g.skipped.Swap(0); k > 0 {
		attrs = append(attrs, slog.Uint64("suppressed", k))
	}
	g.log.LogAttrs(ctx, level, "gossip", attrs...)
	return n, nil
}

// usual recognises what is said again and again for half a minute after a node
// was restarted, while the others still ask its address for the old instance.
func usual(line []byte) bool {
	return bytes.HasPrefix(line, []byte("Got ping for unexpected node")) || bytes.HasPrefix(line, []byte("Failed fallback TCP ping: EOF"))
}

// count recognises refusals by memberlist's wording; a test holds the two
// together.
func (g *gossipLog) count(line []byte) {
	has := func(s string) bool { return bytes.Contains(line, []byte(s)) }
	switch {
	case has("unacceptable label"), has("label header"), has("cannot decode label"):
		g.stats.foreign.Add(1)
	case has("Decrypt packet failed"), has("No installed keys could decrypt"),
		has("encryption is configured but"), has("encrypted and encryption is not configured"):
		g.stats.undecryptable.Add(1)
	}
}
