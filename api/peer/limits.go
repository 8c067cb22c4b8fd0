package peer

// What one gRPC message may have, in bytes. A node's server takes what api/server
// lets in; answers of the API, which cross the same connections, are larger.
const (
	maxSend = 16 << 20
	maxRecv = 20 << 20
)

// What is long is sent in several messages, far below maxSend.
const (
	packBytes   = 4 << 20  // of entries or results in a message, if it has more than one
	packCount   = 1 << 14  // entries or results in a message
	partDigests = 1 << 18  // digests in a message: 4 MiB
	partRanges  = 1 << 17  // answers and ranges in a message: about 3 MiB
	maxDigests  = 16 << 20 // digests of one entry: 64 TiB in chunks of 4 MiB
	maxRanges   = 8 << 20  // ranges of one answer: every other of those
)

// What is shown to people is cut to that, in bytes.
const (
	maxText = 4 << 10
	maxWord = 255
)
