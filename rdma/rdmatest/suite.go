package rdmatest

import (
	"testing"

	"github.com/xferd/xferd/rdma"
)

// End is a device that a driver is tried with.
type End struct {
	System *rdma.System
	Device string
	// GID that the device is reached by; zero takes its first one of RoCE v2
	// that is not link-local, or the first at all.
	GID rdma.GID
}

// Rig is two devices that reach each other. They may be the same one.
type Rig struct {
	A, B End
}

// RunDriver runs the suite that every driver passes: what package rdma promises,
// and what a data plane on top of it rests on. rig is called for each part; what
// it makes it gives back by t.Cleanup. Nothing here depends on how fast it runs.
func RunDriver(t *testing.T, rig func(t *testing.T) Rig) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Rig)
	}{
		{"Attributes", suiteAttributes},
		{"States", suiteStates},
		{"BadAddress", suiteBadAddress},
		{"WriteSizes", suiteWriteSizes},
		{"SendReceive", suiteSendReceive},
		{"Read", suiteRead},
		{"Scatter", suiteScatter},
		{"Inline", suiteInline},
		{"Chains", suiteChains},
		{"Signaling", suiteSignaling},
		{"ManyPairs", suiteManyPairs},
		{"ManyRounds", suiteManyRounds},
		{"Notify", suiteNotify},
		{"NotifySolicited", suiteNotifySolicited},
		{"Wakeups", suiteWakeups},
		{"NoAllocation", suiteNoAllocation},
		{"RemoteBounds", suiteRemoteBounds},
		{"LocalBounds", suiteLocalBounds},
		{"Rights", suiteRights},
		{"Domains", suiteDomains},
		{"ClosedRegion", suiteClosedRegion},
		{"NothingNeedsNoKey", suiteNothingNeedsNoKey},
		{"NoReceive", suiteNoReceive},
		{"ReceiveTooSmall", suiteReceiveTooSmall},
		{"SequenceNumbers", suiteSequenceNumbers},
		{"MTUMismatch", suiteMTUMismatch},
		{"FullQueues", suiteFullQueues},
		{"Flush", suiteFlush},
		{"CloseIsAFence", suiteCloseIsAFence},
		{"CloseUnderFire", suiteCloseUnderFire},
		{"CloseForgets", suiteCloseForgets},
		{"CloseOrder", suiteCloseOrder},
		{"UseAfterClose", suiteUseAfterClose},
		{"CloseWhileWaiting", suiteCloseWhileWaiting},
		{"WaitEndsWithContext", suiteWaitEndsWithContext},
		{"RegisterAgain", suiteRegisterAgain},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rig(t)
			CheckLive(t, r.A.System)
			if r.B.System != r.A.System {
				CheckLive(t, r.B.System)
			}
			c.run(t, r)
		})
	}
}
