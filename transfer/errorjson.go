package transfer

import (
	"encoding/json"
	"errors"
)

// storedError is the durable form of an Error. The cause is kept as its text:
// what errors.Is could have told of it has become the Reason by then.
type storedError struct {
	Reason Reason
	Side   Side   `json:",omitempty"`
	Phase  Phase  `json:",omitempty"`
	Node   NodeID `json:",omitempty"`
	Path   []byte `json:",omitempty"` // bytes, which a JSON string cannot hold
	Cause  string `json:",omitempty"`
	Hint   string `json:",omitempty"`
}

// MarshalJSON keeps everything but the type of the cause.
func (e *Error) MarshalJSON() ([]byte, error) {
	s := storedError{Reason: e.Reason, Side: e.Side, Phase: e.Phase, Node: e.Node, Path: []byte(e.Path), Hint: e.Hint}
	if e.Err != nil {
		s.Cause = e.Err.Error()
	}
	return json.Marshal(s)
}

// UnmarshalJSON is the reverse of MarshalJSON.
func (e *Error) UnmarshalJSON(b []byte) error {
	var s storedError
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*e = Error{Reason: s.Reason, Side: s.Side, Phase: s.Phase, Node: s.Node, Path: string(s.Path), Hint: s.Hint}
	if s.Cause != "" {
		e.Err = errors.New(s.Cause)
	}
	return nil
}
