package sender

import (
	"errors"
	"fmt"
	"slices"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// choice is the transports that may be used, best first, and why the first of
// them is not a better one.
type choice struct {
	names  []string
	why    transport.Reason
	detail string // of what went wrong, for people
}

// encrypting is a dialer whose bytes are encrypted on their way.
type encrypting interface{ Encrypted() bool }

// choose picks the transports of an edge. mine tells what this node can do,
// theirs what the target can; noRDMA why this node has no RDMA.
func choose(job *Job, noRDMA transport.Reason, mine func(name string) bool, encrypted func(name string) bool, theirs []string) (choice, *transfer.Error) {
	both := func(name string) bool { return mine(name) && slices.Contains(theirs, name) }
	fail := func(r transfer.Reason, why transport.Reason, err error, hint string) *transfer.Error {
		if why != transport.NoReason {
			err = fmt.Errorf("%w (%s)", err, why)
		}
		return &transfer.Error{Reason: r, Side: transfer.SideSource, Phase: transfer.PhaseConnect, Node: job.Spec.Source, Err: err, Hint: hint}
	}
	if mine(transport.RDMA) {
		noRDMA = transport.PeerHasNone
	}
	secret := job.Spec.Encrypt == "required"
	var c choice
	switch job.Spec.Policy {
	case transfer.PolicyRDMA:
		if !both(transport.RDMA) {
			return c, fail(transfer.RDMAUnavailable, noRDMA, errors.New("rdma was required and is not available"), "use --transport=auto to allow others")
		}
		if secret {
			return c, fail(transfer.EncryptUnavailable, "", errors.New("rdma does not encrypt"), "")
		}
		return choice{names: []string{transport.RDMA}}, nil
	case transfer.PolicyTCP:
		c.why = transport.PolicyTCP
	default:
		switch {
		case !job.TargetDistinct && both(transport.Local) && job.readsBack():
			c.why = transport.NeedsDigests
		case !job.TargetDistinct && both(transport.Local):
			c = choice{names: []string{transport.Local}, why: transport.SameNode}
		case both(transport.RDMA) && secret:
			c.why = transport.EncryptionRequired
		case both(transport.RDMA):
			c.names = []string{transport.RDMA}
		default:
			c.why = noRDMA
		}
	}
	if both(transport.TCP) && (!secret || encrypted(transport.TCP)) {
		c.names = append(c.names, transport.TCP)
	}
	switch {
	case len(c.names) > 0:
		return c, nil
	case secret && both(transport.TCP):
		return c, fail(transfer.EncryptUnavailable, "", errors.New("encryption was required and the data port has no TLS"), "this version cannot encrypt data: submit without it if the network may be trusted")
	}
	return c, fail(transfer.Unsupported, "", fmt.Errorf("no transport in common: the target has %q", theirs), "")
}

// readsBack says that the target compares what it stored with the digests of
// what was read, which a copy inside the kernel does not have. Into a region nothing
// is copied inside the kernel.
func (j *Job) readsBack() bool {
	if _, ok := j.Spec.IntoRegion(); ok {
		return false
	}
	return j.Spec.Verify == transfer.VerifyStore || j.Spec.Verify == transfer.VerifyMedia
}

// choose is choose of what a node can do.
func (c *Config) choose(job *Job, theirs []string) (choice, *transfer.Error) {
	mine := func(name string) bool { return c.Dialers[name] != nil }
	encrypted := func(name string) bool {
		d, ok := c.Dialers[name].(encrypting)
		return ok && d.Encrypted()
	}
	noRDMA := c.NoRDMA
	if noRDMA == transport.NoReason {
		noRDMA = transport.NotBuilt
	}
	return choose(job, noRDMA, mine, encrypted, theirs)
}

func (e *Edge) choose(theirs []string) (choice, *transfer.Error) { return e.cfg.choose(&e.job, theirs) }
