// Package fallback tests whole edges, sender and receiver, over RDMA that fails
// and TCP that takes over. The devices are those of rdma/rdmatest, everything
// else is what nodes are made of. There is no code in it, only tests.
package fallback
