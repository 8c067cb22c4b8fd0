// Package lifecycle is the owner's side of transfers as a whole: it keeps them
// durably, admits them from the queue, runs their attempts one after another,
// decides how each ends, and tells watchers. What an attempt does is package
// sender's; the state machine and the choice from the queue are pure functions
// in machine.go and admit.go.
package lifecycle
