package verbs

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/xferd/xferd/internal/wire"
)

// run lands chunks until the source is at its end, or something breaks.
func (l *landing) run() error {
	var workers, answers sync.WaitGroup
	for range min(l.in.opt.Streams, len(l.slots)) {
		workers.Go(func() {
			for first := true; ; {
				select {
				case a := <-l.work:
					if first {
						l.in.stats.Streams.Add(1)
						first = false
					}
					err := l.land(a)
					l.working.Add(-1)
					if err != nil {
						l.fail(err)
						return
					}
				case <-l.ctx.Done():
					return
				}
			}
		})
	}
	answers.Go(l.answer)
	msg, err := l.control.Receive(l.ctx)
	if err == nil {
		err = decode(msg, kindEnd, nil)
	}
	if err == nil {
		// The source has all answers, so nothing is under way.
		err = l.control.Send(l.ctx, []byte{byte(kindEnd)})
	}
	if l.ctx.Err() != nil {
		err = context.Cause(l.ctx)
	} else if errors.Is(err, io.EOF) {
		err = errors.New("the source ended the session")
	}
	l.cancel(err)
	workers.Wait()
	answers.Wait()
	return err
}

// batch is when a message of answers is long enough. With the longest answer on
// top it stays below transport.MaxControl.
const batch = 64 << 10

// parcel is a message of answers, with the slots that it gives back.
type parcel struct {
	msg   []byte
	slots []*inSlot
}

// say queues the answer for a chunk.
func (l *landing) say(sl *inSlot, generation uint16, seq uint64, answers []wire.Answer) {
	l.mu.Lock()
	n := len(l.out)
	if n == 0 || len(l.out[n-1].msg) >= batch {
		l.out = slices.Grow(l.out, 1)[:n+1] // with the memory of one that was sent
		p := &l.out[n]
		p.msg, p.slots = append(p.msg[:0], byte(kindAnswers)), p.slots[:0]
	}
	p := &l.out[len(l.out)-1]
	p.msg = appendAnswer(p.msg, sl.index, generation, seq, answers)
	p.slots = append(p.slots, sl)
	l.mu.Unlock()
	l.poke()
}

// alive has a sign of life sent: a message without answers.
func (l *landing) alive() {
	l.mu.Lock()
	l.sign = true
	l.mu.Unlock()
	l.poke()
}

func (l *landing) poke() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// answer sends answers as they come, several in one message.
func (l *landing) answer() {
	for {
		select {
		case <-l.news:
		case <-l.ctx.Done():
			return
		}
		l.mu.Lock()
		all, sign := l.out, l.sign
		l.out, l.spare, l.sign = l.spare[:0], all, false
		l.mu.Unlock()
		for i := range all {
			// Not before it is on its way, so that no source has more answers
			// queued than it has slots; and before the source can know of it.
			for _, sl := range all[i].slots {
				sl.end()
			}
			if err := l.control.Send(l.ctx, all[i].msg); err != nil {
				l.fail(err)
				return
			}
		}
		if sign && len(all) == 0 {
			if err := l.control.Send(l.ctx, signOfLife); err != nil {
				l.fail(err)
				return
			}
		}
	}
}

var signOfLife = []byte{byte(kindAnswers)}
