// Package client is how programs use xferd: schedulers, services and xferctl.
// It dials a node, submits transfers so that the call can be repeated, waits and
// watches through restarts of nodes, and gives errors their meaning.
//
// It speaks in the messages of api/xfer/v1, decides nothing on its own and
// depends on nothing of the daemon: it is pure Go and builds for any system.
package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// DefaultServer is where a node listens for local callers.
const DefaultServer = "unix:///run/xferd/xferd.sock"

// maxMessage is what the largest answer can have, in bytes.
const maxMessage = 20 << 20

// Options of a Client. The zero value is good for the unix socket and for
// loopback.
type Options struct {
	// TLS is required for addresses that are not loopback, with the certificate
	// that tells the node who calls.
	TLS *tls.Config
	// Insecure allows addresses that are not loopback without TLS: everybody on
	// the way can read and change everything.
	Insecure bool
	// Patience is how long Wait and Watch go on trying while no node answers.
	// 0 is one minute; negative is as long as their context lasts.
	Patience time.Duration
	// Extra are further options of the connection.
	Extra []grpc.DialOption
}

// Client calls one node, which reaches the others. Its methods may be called
// concurrently. Errors that they return are *Error.
type Client struct {
	conn      *grpc.ClientConn
	transfers xferv1.TransferServiceClient
	nodes     xferv1.NodeServiceClient
	regions   xferv1.RegionServiceClient
	socket    string // path of the unix socket; empty for others
	patience  time.Duration
}

// Dial returns a Client of the node at server: "unix:///path" or "host:port". It
// does not wait for a connection: the first call does. Close the Client.
func Dial(server string, o Options) (*Client, error) {
	target, creds, err := where(server, &o)
	if err != nil {
		return nil, &Error{Reason: xferv1.Reason_REASON_INVALID_SPEC.Name(), Message: err.Error(), ExitCode: 2, Err: err}
	}
	conn, err := grpc.NewClient(target, append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		// Nodes are reached directly: no proxy of the environment, no look-up of
		// settings in DNS.
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithChainUnaryInterceptor(unaryDeadline), grpc.WithChainStreamInterceptor(streamDeadline),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}, o.Extra...)...)
	if err != nil {
		return nil, &Error{Reason: xferv1.Reason_REASON_INVALID_SPEC.Name(), Message: err.Error(), ExitCode: 2, Err: err}
	}
	c := &Client{
		conn:      conn,
		transfers: xferv1.NewTransferServiceClient(conn),
		nodes:     xferv1.NewNodeServiceClient(conn),
		regions:   xferv1.NewRegionServiceClient(conn),
		patience:  o.Patience,
	}
	if path, ok := strings.CutPrefix(server, "unix://"); ok {
		c.socket = path
	}
	if c.patience == 0 {
		c.patience = time.Minute
	}
	return c, nil
}

// where finds out how to reach a server.
func where(server string, o *Options) (string, credentials.TransportCredentials, error) {
	if path, ok := strings.CutPrefix(server, "unix://"); ok {
		if !strings.HasPrefix(path, "/") {
			return "", nil, fmt.Errorf("server %q: the path of the socket is not absolute", server)
		}
		return server, insecure.NewCredentials(), nil // the kernel tells who calls
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil || host == "" || port == "" {
		return "", nil, fmt.Errorf("server %q is neither unix:///path nor host:port", server)
	}
	switch {
	case o.TLS != nil:
		return "dns:///" + server, credentials.NewTLS(o.TLS), nil
	case o.Insecure || loopback(host):
		return "dns:///" + server, insecure.NewCredentials(), nil
	}
	return "", nil, errors.New("server " + server + " is not on this machine: it needs TLS, with a certificate of the cluster")
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Close ends the connection; calls under way fail. Idempotent.
func (c *Client) Close() error {
	_ = c.conn.Close() // its only error is that it was closed before
	return nil
}

// Transfers and Nodes are the services themselves, for what Client has no method
// for. Their errors are statuses; see AsError.
func (c *Client) Transfers() xferv1.TransferServiceClient { return c.transfers }

// Nodes is the other service; see Transfers.
func (c *Client) Nodes() xferv1.NodeServiceClient { return c.nodes }
