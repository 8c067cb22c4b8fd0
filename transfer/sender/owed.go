package sender

import (
	"fmt"
	"time"
)

// asks notes that the answer to a message is waited for, until the function that it
// returns was called.
func (e *Edge) asks(message string) (answered func()) {
	e.mu.Lock()
	e.asked, e.askedAt = message, time.Since(e.began)
	e.mu.Unlock()
	return func() {
		e.mu.Lock()
		e.asked = ""
		e.mu.Unlock()
	}
}

// unansweredLocked says what the target owes. Called with mu held.
func (e *Edge) unansweredLocked() string {
	switch {
	case e.asked != "":
		return fmt.Sprintf("the target is there and has not answered %s for %v", e.asked, (time.Since(e.began) - e.askedAt).Round(time.Second))
	case len(e.entries) > 0:
		return fmt.Sprintf("the target has not said what became of %d entries", len(e.entries))
	}
	return ""
}
