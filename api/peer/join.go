package peer

import (
	"errors"
	"fmt"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
)

var errPart = errors.New("a message in several parts was not continued")

// targetJoin puts the parts of EntryDigests and of Open together.
type targetJoin struct {
	digests int // in the whole
	ranges  int // likewise
	open    *transfer.EntryDigests
	opening *transfer.Open
}

// add returns nil where more has to come.
func (j *targetJoin) add(p *peerv1.ToTarget) (transfer.ToTarget, error) {
	if o := p.GetOpen(); o != nil && (j.opening != nil || o.GetMoreRanges()) {
		return j.addOpen(o)
	}
	if j.opening != nil {
		return nil, errPart
	}
	m, err := decodeToTarget(p)
	if err != nil {
		return nil, err
	}
	d, ok := m.(*transfer.EntryDigests)
	if !ok {
		if j.open != nil {
			return nil, errPart
		}
		return m, nil
	}
	more := p.GetEntryDigests().GetMore()
	if more && len(d.Digests) == 0 {
		return nil, errors.New("an empty part")
	}
	if j.open != nil {
		if d.Entry != j.open.Entry {
			return nil, errPart
		}
		if len(j.open.Digests)+len(d.Digests) > j.digests {
			return nil, fmt.Errorf("more than %d digests of entry %d", j.digests, d.Entry)
		}
		j.open.Digests = append(j.open.Digests, d.Digests...)
		d = j.open
	}
	j.open = nil
	if more {
		j.open = d
		return nil, nil
	}
	return d, nil
}

// addOpen takes an Open with ranges that go on, or one that goes on with them.
func (j *targetJoin) addOpen(p *peerv1.Open) (transfer.ToTarget, error) {
	if j.open != nil {
		return nil, errPart
	}
	if len(p.GetRangeGap()) == 0 {
		return nil, errors.New("an empty part")
	}
	if j.opening == nil {
		m, err := decodeOpen(p)
		if err != nil {
			return nil, err
		}
		j.opening = m
		return nil, nil
	}
	more, err := decodeRanges(p)
	if err != nil {
		return nil, err
	}
	m := j.opening
	if len(m.Ranges)+len(more) > j.ranges {
		return nil, fmt.Errorf("more than %d ranges", j.ranges)
	}
	m.Ranges = append(m.Ranges, more...)
	if p.GetMoreRanges() {
		return nil, nil
	}
	j.opening = nil
	return m, nil
}

// answerJoin puts the parts of an Answer together.
type answerJoin struct {
	limit int // ranges in the whole
	open  *transfer.Answers
}

// add returns nil where more has to come.
func (j *answerJoin) add(p *peerv1.ToOwner) (transfer.ToOwner, error) {
	m, err := decodeToOwner(p)
	if err != nil {
		return nil, err
	}
	list, ok := m.(*transfer.Answers)
	if !ok {
		if j.open != nil {
			return nil, errPart
		}
		return m, nil
	}
	more := false
	for _, a := range p.GetAnswers().GetAnswers() {
		more = more || a.GetMore()
	}
	if more && (len(list.Answers) != 1 || len(list.Answers[0].Ranges) == 0) {
		return nil, errors.New("a part of an answer with other answers, or with no ranges")
	}
	if j.open != nil {
		if len(list.Answers) != 1 || list.Answers[0].Entry != j.open.Answers[0].Entry {
			return nil, errPart
		}
		whole, part := &j.open.Answers[0], &list.Answers[0]
		if len(whole.Ranges)+len(part.Ranges) > j.limit {
			return nil, fmt.Errorf("more than %d ranges of entry %d", j.limit, whole.Entry)
		}
		whole.Ranges = append(whole.Ranges, part.Ranges...)
		list = j.open
	}
	j.open = nil
	if more {
		j.open = list
		return nil, nil
	}
	return list, nil
}
