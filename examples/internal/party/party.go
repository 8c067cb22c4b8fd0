// Package party is what programs that work together through memory regions do alike:
// each shares memory, waits until the others share theirs, and sees when one is gone.
package party

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// ErrGone says that the region of another program is no more.
var ErrGone = errors.New("is gone: its program died, or gave it back")

// Shared is a region that this program made, and is attached to.
type Shared struct {
	*client.Region
	c    *client.Client
	name string
}

// Share makes a region of size bytes on the node of this program, and attaches to it.
// Leave it. Should the program die, the region goes ttl later, which is how the others
// learn of it; and so long may the node's xferd be away.
func Share(ctx context.Context, c *client.Client, node, id string, size int64, ttl time.Duration) (*Shared, error) {
	made, err := c.CreateRegion(ctx, node, id, &xferv1.Region{SizeBytes: Pages(size), Ttl: durationpb.New(ttl)})
	if err != nil {
		return nil, fmt.Errorf("make region %s on %s: %w", id, node, err)
	}
	s := &Shared{c: c, name: made.GetName()}
	// Others may be waiting for this program to see what came: it looks for a while
	// before it sleeps.
	if s.Region, err = c.AttachRegion(ctx, id, client.AttachOptions{Spin: 50 * time.Microsecond}); err != nil {
		return nil, s.Leave(fmt.Errorf("attach to region %s: %w", id, err))
	}
	return s, nil
}

// Leave gives the memory back. Where all went well it waits for the transfers that use
// it: the other side may not have heard yet that the last one is over. After an error it
// ends them. It returns that error, or its own.
func (s *Shared) Leave(err error) error {
	if s.Region != nil {
		_ = s.Close()
	}
	// Also after a Ctrl-C.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for wait := time.Millisecond; ; wait *= 2 {
		force := err != nil || wait > 5*time.Second
		gone := s.c.DeleteRegion(ctx, s.name, force)
		switch client.ReasonOf(gone) {
		case xferv1.Reason_REASON_REGION_BUSY.Name():
			time.Sleep(wait)
		case xferv1.Reason_REASON_REGION_NOT_FOUND.Name(): // its lease ended
			return err
		default:
			return errors.Join(err, gone)
		}
	}
}

// Appear waits until another program shares its region, and returns it.
func Appear(ctx context.Context, c *client.Client, name string, patience time.Duration) (*xferv1.Region, error) {
	for start := time.Now(); ; {
		r, err := c.GetRegion(ctx, name)
		if err == nil && r.GetState() == xferv1.RegionState_REGION_STATE_READY {
			return r, nil
		}
		passing := err == nil || client.AsError(err).Retryable || errors.Is(err, &client.Error{Reason: xferv1.Reason_REASON_REGION_NOT_FOUND.Name()})
		if !passing || time.Since(start) > patience {
			if err == nil {
				err = errors.New(r.GetState().String())
			}
			return nil, fmt.Errorf("%s is not there: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Follow watches the region of another program until that ends: it returns ErrGone
// then, nil when ctx ended, or that the region can not be watched. It costs nothing
// while nothing happens. It goes on through restarts of nodes.
func Follow(ctx context.Context, c *client.Client, name string) error {
	for _, err := range c.WatchRegion(ctx, name, nil) {
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, &client.Error{Reason: xferv1.Reason_REASON_REGION_NOT_FOUND.Name()}):
			return fmt.Errorf("%s %w", name, ErrGone)
		case err != nil:
			return fmt.Errorf("watch %s: %w", name, err)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s %w", name, ErrGone)
}

// Finish ends a prepared transfer. After an error it does not wait for it, since the
// other side may be no more: the end of the region that it reads ends it too. It returns
// that error, or its own.
func Finish(p *client.Prepared, err error) error {
	if err != nil {
		p.Leave()
		return err
	}
	return p.Close()
}

// Pages is the size of a region that has room for so many bytes.
func Pages(bytes int64) int64 { return (bytes + 4095) &^ 4095 }
