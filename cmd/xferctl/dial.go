package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/xferd/xferd/api/client"
	"github.com/xferd/xferd/cmd/xferctl/internal/command"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/settings"
)

func dial(_ context.Context, s settings.Settings) (command.API, error) {
	o := client.Options{Insecure: s.Insecure}
	if !s.Local() && (s.CA != "" || s.Cert != "") {
		c, err := tlsConfig(s)
		if err != nil {
			return nil, exit.With(exit.Usage, err)
		}
		o.TLS = c
	}
	return client.Dial(s.Server, o)
}

func tlsConfig(s settings.Settings) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS13}
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca: %s has no certificate in it", s.CA)
		}
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			return nil, fmt.Errorf("--cert, --key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
