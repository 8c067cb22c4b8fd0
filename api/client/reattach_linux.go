package client

import (
	"context"
	"errors"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// keep holds the connection to the daemon, and makes a new one when it breaks, until
// Close or an error that does not pass.
func (g *Region) keep(j *joined) {
	defer close(g.done)
	for {
		err := g.hold(j)
		if g.ctx.Err() != nil || g.over() != nil {
			return
		}
		if g.o.Lost != nil {
			g.o.Lost(unreachable(err))
		}
		if j, err = g.again(); err != nil {
			g.fail(err)
			return
		}
	}
}

// hold waits for the end of a connection.
func (g *Region) hold(j *joined) error {
	defer context.AfterFunc(g.ctx, func() { _ = j.conn.Close() })()
	var b [1]byte
	_, err := j.conn.Read(b[:])
	_ = j.conn.Close()
	if err == nil {
		err = errors.New("it said something that nobody asked for")
	}
	return err
}

// again attaches anew, with growing pauses. A program that may write brings its memory
// along; others wait until one did.
func (g *Region) again() (*joined, error) {
	silence := outage{patience: -1}
	for {
		j, err := g.once()
		if err == nil {
			return j, nil
		}
		e := AsError(err)
		switch e.Reason {
		case xferv1.Reason_REASON_REGION_DETACHED.Name(), xferv1.Reason_REASON_NODE_STOPPING.Name(),
			xferv1.Reason_REASON_STATE_NO_SPACE.Name(), xferv1.Reason_REASON_REGION_NO_MEMORY.Name():
			e.Retryable = true
		}
		if err := silence.wait(g.ctx, e); err != nil {
			return nil, err
		}
	}
}

func (g *Region) once() (*joined, error) {
	if g.file != nil {
		j, err := g.c.ask(g.ctx, "offer "+g.id, g.file, 1)
		if err != nil {
			return nil, err
		}
		return g.rejoin(j, 0)
	}
	j, err := g.c.ask(g.ctx, "attach "+g.id+" r", nil, 2)
	if err != nil {
		return nil, err
	}
	return g.rejoin(j, 1) // its memory is the same, and mapped
}

// rejoin takes a new connection over, with the notice page among its files.
func (g *Region) rejoin(j *joined, page int) (*joined, error) {
	err := error(nil)
	if j.uid != g.uid {
		err = attachError(xferv1.Reason_REASON_REGION_GONE.Name(), "region "+g.id+" is another one of that name by now")
	} else {
		err = g.follow(j.files[page])
	}
	for _, f := range j.files {
		_ = f.Close()
	}
	j.files = nil
	if err != nil {
		_ = j.conn.Close()
		return nil, err
	}
	return j, nil
}
