package progress

import "time"

// span is how far back the rate looks: long enough to be calm, short enough to
// show that something stopped.
const span = 10 * time.Second

// window gives the rate of the last seconds, not of the whole run: an ETA from
// the mean of a run that was slow at first is wrong for long.
type window struct {
	samples []sample
}

type sample struct {
	at    time.Time
	bytes int64
}

// add takes the sum so far. A sum that falls (a file was started anew) begins a
// new window.
func (w *window) add(at time.Time, bytes int64) {
	if n := len(w.samples); n > 0 {
		last := &w.samples[n-1]
		switch {
		case bytes < last.bytes:
			w.samples = w.samples[:0]
		case n > 1 && at.Sub(w.samples[n-2].at) < span/64:
			*last = sample{at, bytes} // bounds the number of samples
			return
		}
	}
	w.samples = append(w.samples, sample{at, bytes})
	old := 0
	for old < len(w.samples)-2 && at.Sub(w.samples[old+1].at) >= span {
		old++
	}
	w.samples = append(w.samples[:0], w.samples[old:]...)
}

// perSecond returns 0 while nothing is known.
func (w *window) perSecond() float64 {
	if len(w.samples) < 2 {
		return 0
	}
	first, last := w.samples[0], w.samples[len(w.samples)-1]
	d := last.at.Sub(first.at)
	if d < 100*time.Millisecond {
		return 0
	}
	return float64(last.bytes-first.bytes) / d.Seconds()
}
