package lifecycle

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
	"github.com/xferd/xferd/transport"
)

// halfDead is a target that answers pings, and all that comes before one message.
type halfDead struct{ mute string }

func (h halfDead) serve(link transfer.OwnerLink) {
	ctx := context.Background()
	for {
		m, err := link.Recv(ctx)
		if err != nil {
			return
		}
		var answer transfer.ToOwner
		switch m := m.(type) {
		case *transfer.Open:
			answer = &transfer.Opened{Node: "n2", Credits: 100, Transports: []string{transport.TCP}}
		case *transfer.Ping:
			answer = &transfer.Pong{Seq: m.Seq}
		case *transfer.Entries:
			switch h.mute {
			case "Entries":
			case "Finish":
				answer = &transfer.Results{Results: []transfer.Result{{Entry: 0, Kind: transfer.KindFile, Outcome: transfer.OutcomeSame}}}
			default:
				answer = &transfer.Answers{Answers: []transfer.Answer{{Entry: 0, Want: transfer.WantAll}}}
			}
		case *transfer.PrepareData:
			if h.mute != "PrepareData" {
				answer = &transfer.DataReady{Grant: transport.Grant{Transport: transport.TCP}}
			}
		case *transfer.FenceData:
			if h.mute != "FenceData" {
				answer = &transfer.DataFenced{}
			}
		}
		if answer != nil && link.Send(ctx, answer) != nil {
			return
		}
	}
}

// liveData is a data plane that works, or breaks, so that it is fenced.
type liveData struct{ breaks bool }

func (d liveData) Dial(context.Context, transport.Edge, transport.Grant, transport.DialOptions) (transport.Outgoing, error) {
	return d, nil
}

func (d liveData) Run(ctx context.Context, f transport.Feed) error {
	if d.breaks {
		return errors.New("it broke")
	}
	_, err := f.Next(ctx, 0) // nothing is wanted
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (liveData) SetMaxRate(int64)       {}
func (liveData) Stats() transport.Stats { return transport.Stats{} }
func (liveData) Close() error           { return nil }

// A target that answers pings and leaves one message without an answer for ever costs
// no more than patience, and the error says which one it is.
func TestMessageThatIsNeverAnswered(t *testing.T) {
	for mute, says := range map[string]string{
		"Entries":     "has not said what became of 1 entries",
		"PrepareData": "is there and has not answered PrepareData for",
		"FenceData":   "is there and has not answered FenceData for",
		"Finish":      "is there and has not answered Finish for",
	} {
		t.Run(mute, func(t *testing.T) {
			inBubble(t, func(t *testing.T, dir string) {
				r := newRigPeers(t, dir, 4, &fakePeers{joined: make(chan struct{}), serve: halfDead{mute}.serve})
				defer r.stop()
				r.e.cfg.NewEdge = func(job sender.Job, link transfer.TargetLink, obs sender.Observer) Edge {
					return sender.New(sender.Config{
						Node: "n1", Exports: r.e.cfg.Exports, Dialers: map[string]transport.Dialer{transport.TCP: liveData{mute == "FenceData"}}, Log: slog.New(slog.DiscardHandler),
					}, job, link, obs)
				}
				start := time.Now()
				r.submit("a")
				got, err := r.e.Wait(t.Context(), "a")
				if err != nil || got.State != transfer.StateFailed || got.Err.Reason != transfer.Stalled || !strings.Contains(got.Err.Error(), says) {
					t.Errorf("%s, %v, %v", got.State, got.Err, err)
				}
				if d := time.Since(start); d < 10*time.Minute || d > 13*time.Minute {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}
