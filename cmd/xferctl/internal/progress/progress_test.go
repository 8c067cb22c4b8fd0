package progress

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// run feeds a transfer of 10 GiB at 1 GiB/s, whose scan ends after 3 s, and
// which waits for its target at the end.
func run(r *Renderer, step time.Duration) {
	for at := time.Duration(0); at <= 24*time.Second; at += step {
		sec := at.Seconds()
		s := State{Phase: "running", TotalKnown: at >= 3*time.Second, Transport: "tcp", BytesTotal: 10 << 30, FilesTotal: 5000, Failed: 1}
		if !s.TotalKnown {
			s.BytesTotal, s.FilesTotal, s.Failed = int64(sec*3)<<30, int64(sec*1500), 0
		}
		s.Bytes = min(int64(sec*float64(1<<30)), 9<<30)
		s.Files = s.Bytes >> 21
		if at >= 12*time.Second {
			s.Note = "n2 does not answer\x1b[2J; next try in 4s"
		}
		r.Update(t0.Add(at), s)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s", name, got)
	}
}

func TestLinesElsewhere(t *testing.T) {
	var b strings.Builder
	r := New(&b, false, nil, t0)
	run(r, 500*time.Millisecond)
	r.Clear()
	if strings.ContainsAny(b.String(), "\r\x1b") {
		t.Errorf("control bytes in whole lines: %q", b.String())
	}
	golden(t, "lines.txt", b.String())
}

func TestTerminal(t *testing.T) {
	var b strings.Builder
	r := New(&b, true, func() int { return 70 }, t0)
	run(r, 1500*time.Millisecond)
	r.Clear()
	out := b.String()
	if strings.Contains(out, "\x1b[2J") {
		t.Error("a note reached the terminal unescaped")
	}
	if !strings.HasSuffix(out, "\r\x1b[1A\x1b[J") {
		t.Errorf("the two lines were not taken off: %q", out[len(out)-20:])
	}
	for line := range strings.SplitSeq(strings.NewReplacer("\r", "\n", "\x1b[1A", "", "\x1b[J", "").Replace(out), "\n") {
		if len(line) > 69 {
			t.Errorf("line of %d columns: %q", len(line), line)
		}
	}
	golden(t, "terminal.txt", strings.NewReplacer("\r", "<CR>", "\x1b[1A", "<UP>", "\x1b[J", "<ERASE>\n").Replace(out))
}

func TestRedrawIsBounded(t *testing.T) {
	var b strings.Builder
	r := New(&b, true, func() int { return 0 }, t0)
	for i := range 1000 {
		r.Update(t0.Add(time.Duration(i)*time.Millisecond), State{Phase: "running", Bytes: int64(i)})
	}
	if n := strings.Count(b.String(), "of >="); n > 2*5 {
		t.Errorf("drawn %d times in a second", n)
	}
}

func TestWindow(t *testing.T) {
	var w window
	if w.perSecond() != 0 {
		t.Error("a rate from nothing")
	}
	for i := range 100 { // 10 per second for 50 s, then 1000 per second
		n := int64(i * 5)
		if i > 60 {
			n += int64(i-60) * 500
		}
		w.add(t0.Add(time.Duration(i)*500*time.Millisecond), n)
		if len(w.samples) > 70 {
			t.Fatalf("%d samples", len(w.samples))
		}
	}
	if got := w.perSecond(); got < 1000 || got > 1020 {
		t.Errorf("rate %v is not that of the last seconds", got)
	}
	w.add(t0.Add(51*time.Second), 3)
	if got := w.perSecond(); got != 0 {
		t.Errorf("rate %v after the sum fell", got)
	}
}

func TestPercentAndETA(t *testing.T) {
	if percent(999, 1000) != 99 || percent(0, 0) != 100 || percent(5, 3) != 100 {
		t.Error("percent")
	}
	for d, want := range map[time.Duration]string{7 * time.Second: "0:07", 723 * time.Second: "12:03", 200 * time.Minute: "3:20:00", 1000 * time.Hour: "> 100 h"} {
		if eta(d) != want {
			t.Errorf("eta(%v) = %s", d, eta(d))
		}
	}
}
