package transfer

import (
	"time"

	"github.com/xferd/xferd/transport"
)

// A prepared transfer moves nothing by itself: its edge stands, and each post sends
// all of its ranges once. On the edge the posts are entries 0, 1, 2 and so on, all of
// the same size; there is no manifest.

// MaxPosts is how many posts of a prepared transfer may be without an answer. One of
// them is on its way at a time.
const MaxPosts = 16

// Posts are the posts of a prepared transfer so far.
type Posts struct {
	Done, Failed int64
	PerSecond    float64   // done, of late
	Last         time.Time // when the last one was answered; zero: none was
}

// PostNews is what whoever posts is told: once, first, that posts need no set-up any
// more, and then of each post.
type PostNews struct {
	Ready  bool // then Posted has the transport alone
	Posted Posted
}

// Posted is what became of a post.
type Posted struct {
	Sequence   uint64 // the caller's
	Generation uint64 // of the region, as it rose with the post
	Digest     transport.Digest
	Bytes      int64
	Transport  string
	Err        *Error // nil where it was committed
}
