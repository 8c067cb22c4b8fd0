// Package progress draws how far a transfer is: one or two lines that are drawn
// again and again on a terminal, whole lines every ten seconds elsewhere. It
// starts no goroutine: whoever has news calls it.
package progress

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

// State is what is known of a transfer at one moment.
type State struct {
	Phase      string // "queued", "running", ...: lower-case, one word
	TotalKnown bool   // the scan is done
	Files      int64  // ended, whatever became of them
	FilesTotal int64
	Failed     int64
	Bytes      int64 // that need not be moved any more
	BytesTotal int64
	Transport  string
	// Note says why it does not move, empty when it does. It is escaped here.
	Note string
}

// Intervals between two drawings.
const (
	redrawEvery = 200 * time.Millisecond
	lineEvery   = 10 * time.Second
)

// Renderer writes progress to one stream. It is not safe for concurrent use.
type Renderer struct {
	w     io.Writer
	tty   bool
	width func() int
	start time.Time
	last  time.Time // of the last drawing
	lines int       // drawn on the terminal now
	rate  window
}

// New returns a renderer for a transfer that started at start. On a terminal,
// width is asked for the columns before each drawing.
func New(w io.Writer, tty bool, width func() int, start time.Time) *Renderer {
	return &Renderer{w: w, tty: tty, width: width, start: start, last: start}
}

// Update takes a state and draws it if it is time to.
func (r *Renderer) Update(now time.Time, s State) {
	if s.Note != "" {
		r.rate = window{} // of before: it tells nothing of what comes
	}
	r.rate.add(now, s.Bytes)
	every := lineEvery
	if r.tty {
		every = redrawEvery
	}
	if now.Sub(r.last) < every {
		return
	}
	r.last = now
	lines := []string{r.line(now, s)}
	if note := show.Name(s.Note); note != "" {
		if r.tty {
			lines = append(lines, "  "+note)
		} else {
			lines[0] += "  " + note
		}
	}
	if !r.tty {
		fmt.Fprintf(r.w, "%s\n", strings.Join(lines, "\n"))
		return
	}
	var b strings.Builder
	b.WriteString(r.erase())
	cols := max(r.width()-1, 20)
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(clip(l, cols))
	}
	r.lines = len(lines)
	io.WriteString(r.w, b.String())
}

// Clear takes the drawn lines off the terminal, before something else is
// printed there. The next Update draws them again.
func (r *Renderer) Clear() {
	if r.lines > 0 {
		io.WriteString(r.w, r.erase())
		r.last = time.Time{}
	}
}

func (r *Renderer) erase() string {
	if r.lines == 0 {
		return ""
	}
	up := strings.Repeat("\x1b[1A", r.lines-1)
	r.lines = 0
	return "\r" + up + "\x1b[J"
}

// line is the one line that says it all.
func (r *Renderer) line(now time.Time, s State) string {
	atLeast := ""
	if !s.TotalKnown {
		atLeast = ">= "
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s%s", show.Size(s.Bytes), atLeast, show.Size(s.BytesTotal))
	if s.TotalKnown {
		fmt.Fprintf(&b, "  %d%%", percent(s.Bytes, s.BytesTotal))
	}
	rate := r.rate.perSecond()
	if rate > 0 {
		fmt.Fprintf(&b, "  %s/s", show.Size(int64(rate)))
	}
	switch {
	case s.Phase != "running":
		b.WriteString("  " + s.Phase)
	case !s.TotalKnown:
		b.WriteString("  scanning")
	case rate > 0 && s.BytesTotal > s.Bytes:
		left := time.Duration(float64(s.BytesTotal-s.Bytes) / rate * float64(time.Second))
		b.WriteString("  ETA " + eta(left))
	}
	if s.Failed > 0 {
		fmt.Fprintf(&b, "  %s failed", show.Count(s.Failed))
	}
	fmt.Fprintf(&b, "  %s of %s%s", show.Count(s.Files), atLeast, show.Plural(s.FilesTotal, "file", "files"))
	if s.Transport != "" {
		b.WriteString("  " + show.Name(s.Transport))
	}
	if !r.tty {
		fmt.Fprintf(&b, "  after %s", eta(now.Sub(r.start)))
	}
	return b.String()
}

// percent rounds down, so that 100 means all of it.
func percent(done, total int64) int64 {
	if total <= 0 {
		return 100
	}
	return min(int64(float64(done)/float64(total)*100), 100)
}

// eta returns "0:07", "12:03" or "3:20:00".
func eta(d time.Duration) string {
	s := int64((d + time.Second/2) / time.Second)
	switch {
	case s >= 100*3600:
		return "> 100 h"
	case s >= 3600:
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s%3600/60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// clip shortens a line to so many columns.
func clip(s string, cols int) string {
	if utf8.RuneCountInString(s) <= cols {
		return s
	}
	return string([]rune(s)[:cols])
}
