package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Format is the form of log lines.
type Format string

const (
	JSON Format = "json"
	Text Format = "text"
)

// Logging is the log of a process. The level can change while it runs.
type Logging struct {
	*slog.Logger
	level slog.LevelVar
}

// NewLogging writes to w, one line per record and one Write per line. Level is
// debug, info, warn or error; the empty strings stand for info and text.
func NewLogging(w io.Writer, level string, format Format) (*Logging, error) {
	l := &Logging{}
	if err := l.SetLevel(level); err != nil {
		return nil, err
	}
	opts := &slog.HandlerOptions{Level: &l.level}
	switch format {
	case JSON:
		l.Logger = slog.New(slog.NewJSONHandler(w, opts))
	case Text, "":
		l.Logger = slog.New(slog.NewTextHandler(w, opts))
	default:
		return nil, fmt.Errorf("log format %q: want json or text", format)
	}
	return l, nil
}

// SetLevel changes the least level that is written, from the next record on.
func (l *Logging) SetLevel(level string) error {
	switch strings.ToLower(level) {
	case "debug":
		l.level.Set(slog.LevelDebug)
	case "info", "":
		l.level.Set(slog.LevelInfo)
	case "warn":
		l.level.Set(slog.LevelWarn)
	case "error":
		l.level.Set(slog.LevelError)
	default:
		return fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	return nil
}

// Keys of attributes that mean the same everywhere.
const (
	KeyNode     = "node"
	KeyTransfer = "transfer"
	KeyPath     = "path"
	KeyErr      = "err"
)

// Node is the node that a record is about.
func Node(id string) slog.Attr { return slog.String(KeyNode, Escape(id)) }

// Transfer is the name of the transfer that a record is about.
func Transfer(name string) slog.Attr { return slog.String(KeyTransfer, Escape(name)) }

// Path is a file name: any bytes, shown so that a log line stays a line and the
// name can be told from every other one.
func Path(p string) slog.Attr { return slog.String(KeyPath, Escape(p)) }

// Err is the cause. A nil error is an empty string. Its text often holds a path.
func Err(err error) slog.Attr {
	if err == nil {
		return slog.String(KeyErr, "")
	}
	return slog.String(KeyErr, escape(err.Error(), false))
}
