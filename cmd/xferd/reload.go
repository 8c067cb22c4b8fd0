package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/xferd/xferd/cmd/xferd/internal/config"
)

// reloader reads the configuration again while a node runs.
type reloader struct {
	log     *slog.Logger
	load    func() (config.Config, error)
	apply   func(config.Config) error // on an error nothing has changed
	started config.Config             // what the keys have that need a restart
	running config.Config             // what the others have
}

// onHangup reloads at every SIGHUP until ctx ends or the function that it
// returns was called.
func (r *reloader) onHangup(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-c:
				r.reload()
			}
		}
	})
	return func() {
		signal.Stop(c)
		cancel()
		wg.Wait()
	}
}

// reload takes over what can be, and tells the log what changed. A configuration
// with a mistake changes nothing.
func (r *reloader) reload() {
	c, err := r.load()
	if err == nil {
		err = r.apply(c)
	}
	if err != nil {
		r.log.Error("reload", "err", err)
		return
	}
	taken, _ := config.Changed(r.running, c)
	_, restart := config.Changed(r.started, c)
	r.running = c
	r.log.Info("configuration reloaded", "changed", strings.Join(taken, " "))
	if len(restart) > 0 {
		r.log.Warn("these keys changed too, and count after a restart only", "keys", strings.Join(restart, " "))
	}
}
