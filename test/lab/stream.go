package lab

import (
	"bytes"
	"io"
	"strings"
)

// stream takes apart what a machine sends: output of the command, and in between
// lines for the host, each begun by a mark that only this run knows.
type stream struct {
	mark   []byte
	out    io.Writer          // gets the output
	notice func(words string) // gets the rest of a line for the host
	held   []byte             // the beginning of a mark, or of such a line
}

func newStream(token string, out io.Writer, notice func(string)) *stream {
	return &stream{mark: []byte("\x01lab " + token + " "), out: out, notice: notice}
}

// Write takes the next piece. It never fails.
func (s *stream) Write(p []byte) (int, error) {
	s.held = append(s.held, p...)
	for {
		at := bytes.Index(s.held, s.mark)
		if at < 0 {
			s.pass(len(s.held) - s.partial())
			return len(p), nil
		}
		s.pass(at)
		end := bytes.IndexByte(s.held, '\n')
		if end < 0 {
			return len(p), nil
		}
		words := strings.TrimSuffix(string(s.held[len(s.mark):end]), "\r")
		s.held = append(s.held[:0], s.held[end+1:]...)
		s.notice(words)
	}
}

// Close gives out what was held back.
func (s *stream) Close() error {
	s.pass(len(s.held))
	return nil
}

func (s *stream) pass(n int) {
	if n > 0 {
		_, _ = s.out.Write(s.held[:n]) // the machine goes on whoever listens
		s.held = append(s.held[:0], s.held[n:]...)
	}
}

// partial is how many bytes at the end may be the beginning of a mark.
func (s *stream) partial() int {
	for n := min(len(s.mark)-1, len(s.held)); n > 0; n-- {
		if bytes.HasPrefix(s.mark, s.held[len(s.held)-n:]) {
			return n
		}
	}
	return 0
}

// labelled writes whole lines, each with a label in front.
type labelled struct {
	label string
	out   io.Writer
	line  []byte
}

func (l *labelled) Write(p []byte) (int, error) {
	l.line = append(l.line, p...)
	for {
		end := bytes.IndexByte(l.line, '\n')
		if end < 0 {
			return len(p), nil
		}
		_, _ = l.out.Write(append([]byte(l.label), l.line[:end+1]...))
		l.line = append(l.line[:0], l.line[end+1:]...)
	}
}

// Close writes a last line that has no end.
func (l *labelled) Close() error {
	if len(l.line) > 0 {
		_, _ = l.Write([]byte("\n"))
	}
	return nil
}
