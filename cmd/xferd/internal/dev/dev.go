// Package dev runs a throw-away cluster: several real nodes in one process on
// loopback, each with its own state, ports and export. The nodes count as
// distinct, so that they use the network between them.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/xferd/xferd/cluster"
	"github.com/xferd/xferd/cmd/xferd/internal/config"
	"github.com/xferd/xferd/cmd/xferd/internal/node"
	"github.com/xferd/xferd/internal/trust"
)

// MaxNodes bounds a cluster on one machine.
const MaxNodes = 32

// Options of Run.
type Options struct {
	Nodes   int
	Dir     string // empty: a new one under the directory for temporary files
	Version string
	Log     *slog.Logger
	Out     io.Writer // gets the table of nodes and the line that says ready
	Ready   func()    // called when all nodes see each other; may be nil
}

// member is one node of the cluster and what Run made for it.
type member struct {
	name, state, data, socket string
	ours                      bool // the state is new, and goes at the end
	node                      *node.Node
}

// Run runs the cluster until ctx ends, and then removes what it made, and
// nothing else: what users put into the exports stays. Transfers are forgotten
// with the state, and so the temporary files of those that were not over go.
func Run(ctx context.Context, o Options) (err error) {
	if o.Nodes < 1 || o.Nodes > MaxNodes {
		return fmt.Errorf("%d nodes: take 1 to %d", o.Nodes, MaxNodes)
	}
	made := &trash{}
	defer func() { err = errors.Join(err, made.empty()) }()
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "xferd-dev."); err != nil {
			return err
		}
		made.add(o.Dir)
	} else if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	} else if err = made.mkdir(o.Dir); err != nil {
		return err
	}
	sockets, err := socketDir(o.Dir, made)
	if err != nil {
		return err
	}

	group, gctx := errgroup.WithContext(ctx)
	var members []*member
	for i := range o.Nodes {
		m := &member{name: fmt.Sprintf("n%d", i+1)}
		if err = m.start(gctx, o, made, sockets, members); err != nil {
			err = fmt.Errorf("node %s: %w", m.name, err)
			break
		}
		members = append(members, m)
		group.Go(func() error {
			if err := m.node.Run(gctx); err != nil {
				return fmt.Errorf("node %s: %w", m.name, err)
			}
			return nil
		})
	}
	if err == nil {
		err = announce(gctx, o, made, members)
	}
	if err != nil {
		failed := err
		group.Go(func() error { return failed }) // ends the others
	}
	err = group.Wait()
	for _, m := range members {
		if m.ours {
			made.errs = append(made.errs, removeTemps(m.state, m.data))
		}
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// socketDir returns where the sockets go: DIR, so that a restarted cluster is
// found again, unless its path is too long for a unix socket (107 bytes).
func socketDir(dir string, made *trash) (string, error) {
	if len(filepath.Join(dir, "n99.sock.lock")) <= trust.MaxSocketPath {
		return dir, nil
	}
	short, err := os.MkdirTemp("", "xferd.")
	if err == nil {
		made.addAll(short)
	}
	return short, err
}

func (m *member) start(ctx context.Context, o Options, made *trash, sockets string, others []*member) error {
	home := filepath.Join(o.Dir, m.name)
	m.state, m.data = filepath.Join(home, "state"), filepath.Join(home, "data")
	for _, d := range []string{home, m.data} {
		if err := made.mkdir(d); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(m.state); err != nil {
		m.ours = true
		made.addAll(m.state) // one that was there stays: it may be of a run that is to go on
	}
	m.socket = filepath.Join(sockets, m.name+".sock")
	made.add(m.socket + ".lock")
	c := config.Default()
	c.Name, c.Cluster = m.name, "dev"
	c.Listen = config.Listen{Control: "127.0.0.1:0", Data: "127.0.0.1:0", Gossip: "127.0.0.1:0", Socket: m.socket}
	c.StateDir = m.state
	c.Exports = []config.Export{{Path: m.data, Mode: "rw"}}
	if len(others) > 0 {
		c.Join = []string{others[0].node.GossipAddr()}
	}
	if err := c.Validate(); err != nil {
		return err
	}
	var err error
	m.node, err = node.New(ctx, c, node.Options{Log: o.Log.With("node", m.name), Version: o.Version, Gossip: cluster.Local})
	return err
}

// announce waits until every node sees every other, and prints how to use them.
func announce(ctx context.Context, o Options, made *trash, members []*member) error {
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, m := range members {
		if err := m.node.WaitJoined(wait, len(members)); err != nil {
			return fmt.Errorf("node %s: %w", m.name, err)
		}
	}
	first, last := members[0], members[len(members)-1]
	sample := filepath.Join(first.data, "hello.txt")
	if _, err := os.Lstat(sample); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(sample, []byte("hello from "+first.name+"\n"), 0o644); err != nil {
			return err
		}
		made.add(sample)
	}
	if o.Ready != nil {
		o.Ready()
	}
	for _, m := range members {
		fmt.Fprintf(o.Out, "node   %s  control %s  export %s  socket %s\n", m.name, m.node.ControlAddr(), m.data, m.socket)
	}
	fmt.Fprintf(o.Out, "server unix://%s\n", first.socket)
	fmt.Fprintf(o.Out, "try    %s --server unix://%s cp %s %s\n", xferctl(), first.socket,
		quote(first.name+":"+sample), quote(last.name+":"+last.data+"/copy.txt"))
	_, err := fmt.Fprintln(o.Out, "ready; Ctrl-C ends the cluster")
	return err
}

// xferctl is the command as a shell would find it: beside this program, or by
// its name.
func xferctl() string {
	self, err := os.Executable()
	if err == nil {
		beside := filepath.Join(filepath.Dir(self), "xferctl")
		if _, err := os.Stat(beside); err == nil {
			return quote(beside)
		}
	}
	return "xferctl"
}

// quote makes one word for a shell.
func quote(s string) string {
	if !strings.ContainsAny(s, " \t\n'\"\\$&;()<>|*?[]#~`!{}") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
