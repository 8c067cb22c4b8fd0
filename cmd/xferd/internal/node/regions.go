package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/trust"
	"github.com/xferd/xferd/region"
)

// openRegions loads the memory regions of this node.
func (n *Node) openRegions(ctx context.Context) error {
	memory := n.cfg.Regions.Memory
	if memory == 0 {
		var info unix.Sysinfo_t
		if err := unix.Sysinfo(&info); err != nil {
			return fmt.Errorf("size of the memory: %w", err)
		}
		memory = int64(info.Totalram) * int64(info.Unit) / 2 //nolint:unconvert // 32 bits elsewhere
	}
	// Without it inodes of memory of an earlier boot could not be told apart; but
	// then nobody has such memory any more.
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		n.log.Debug("the kernel does not tell its boot id", "err", err)
	}
	n.regions, err = region.Open(ctx, region.Config{
		Store: n.store, Log: n.log, Boot: strings.TrimSpace(string(boot)),
		Memory: memory, PerPrincipal: n.cfg.Regions.PerPrincipal, Count: n.cfg.Regions.Count,
	})
	return err
}

// serveProgram serves a program that attaches to regions over the unix socket.
func (n *Node) serveProgram(ctx context.Context, conn *net.UnixConn) {
	_, info, err := trust.Local().ServerHandshake(conn)
	who, ok := info.(trust.AuthInfo)
	if err == nil && !ok {
		err = errors.New("nothing is known of the caller")
	}
	if err == nil {
		err = trust.Allowed(who.Caller)
	}
	if err != nil {
		n.log.Warn("a program may not attach to regions", "caller", who.Caller.String(), "err", err)
		_, _ = fmt.Fprintf(conn, "error PERMISSION_DENIED %v\n", err)
		_ = conn.Close()
		return
	}
	if err := n.regions.ServeConn(ctx, conn, who.Caller.Principal()); err != nil && ctx.Err() == nil {
		n.log.Info("a program did not attach to a region, or not to its end", "caller", who.Caller.String(), "pid", who.Caller.PID, "err", err)
	}
}
