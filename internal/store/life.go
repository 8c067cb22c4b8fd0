package store

import "sync"

// life counts the uses of a file, so that closing it waits for them. A use may
// begin inside another one, also while the closing waits: it is refused then.
type life struct {
	mu    sync.Mutex
	users int
	ended bool
	idle  chan struct{} // made by end, closed by the last user
}

// enter begins a use, false after the end began.
func (l *life) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.users++
	return true
}

func (l *life) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users--; l.users == 0 && l.ended {
		close(l.idle)
	}
}

// end refuses further uses and waits for those that run. It returns true to the
// first caller, who cleans up.
func (l *life) end() bool {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return false
	}
	l.ended = true
	wait := l.users > 0
	l.idle = make(chan struct{})
	idle := l.idle
	l.mu.Unlock()
	if wait {
		<-idle
	}
	return true
}
