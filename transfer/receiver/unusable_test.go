package receiver

import (
	"context"
	"errors"
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// unusable is RDMA without a device that works at the moment.
type unusable struct{}

func (unusable) Prepare(context.Context, transport.Edge, transport.Sink, transport.PrepareOptions) (transport.Incoming, error) {
	return nil, &transport.UnavailableError{Transport: transport.RDMA, Reason: transport.PortDown, Err: errors.New("port 1 is down")}
}

// RDMA that cannot be used now: another one takes its place with the reason, and
// where no other was asked for the owner is told so, which is no fault in here.
func TestRDMAThatIsDown(t *testing.T) {
	g := newRig(t, func(c *Config) {
		c.Acceptors[transport.RDMA] = unusable{}
		c.Order = []string{transport.RDMA, transport.TCP}
	})
	o := g.dial(g.request("f"))
	o.send(&transfer.PrepareData{Transports: []string{transport.RDMA, transport.TCP}, Streams: 1})
	if m := o.next().(*transfer.DataReady); m.Err != nil || m.Grant.Transport == transport.RDMA || m.Why != transport.PortDown {
		t.Errorf("%+v", m)
	}
	o.send(&transfer.PrepareData{Transports: []string{transport.RDMA}, Streams: 1})
	if m := o.next().(*transfer.DataReady); transfer.ReasonOf(m.Err) != transfer.RDMAUnavailable {
		t.Errorf("%v", m.Err)
	}
	o.abort(transfer.EndPurge)
	g.wantClean()
}
