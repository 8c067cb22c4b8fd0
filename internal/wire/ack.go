package wire

import "encoding/binary"

const (
	ackFixed     = 12
	ackTextFixed = 4
	endSize      = 8
	failFixed    = 2
)

// Code is what became of one extent, as transport.Code.
type Code uint8

// maxCode is the largest Code: Refused.
const maxCode = 5

// Answer is the target's verdict on one extent. Text tells why, in at most
// MaxText bytes; longer ones are cut.
type Answer struct {
	Code Code
	Text string
}

// AppendAck appends the answer to one chunk, one Answer per extent.
func AppendAck(dst []byte, seq uint64, answers []Answer) []byte {
	dst, at := begin(dst)
	dst = binary.LittleEndian.AppendUint64(dst, seq)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(answers)))
	texts := len(dst)
	dst = binary.LittleEndian.AppendUint16(dst, 0)
	for i := range answers {
		dst = append(dst, byte(answers[i].Code))
	}
	n := 0
	for i := range answers {
		text := answers[i].Text
		if text == "" {
			continue
		}
		text = text[:min(len(text), MaxText)]
		dst = binary.LittleEndian.AppendUint16(dst, uint16(i))
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(text)))
		dst = append(dst, text...)
		n++
	}
	binary.LittleEndian.PutUint16(dst[texts:], uint16(n))
	return finish(dst, at, TypeAck)
}

// DecodeAck reads an answer. It uses the memory of answers again and returns one
// Answer per extent.
func DecodeAck(payload []byte, answers []Answer) (seq uint64, _ []Answer, err error) {
	answers = answers[:0]
	if len(payload) < ackFixed {
		return 0, answers, broken("ack of %d bytes", len(payload))
	}
	seq = binary.LittleEndian.Uint64(payload)
	n := int(binary.LittleEndian.Uint16(payload[8:]))
	texts := int(binary.LittleEndian.Uint16(payload[10:]))
	b := payload[ackFixed:]
	if n == 0 || n > MaxExtents || len(b) < n || texts > n {
		return 0, answers, broken("ack of %d extents and %d texts in %d bytes", n, texts, len(payload))
	}
	for _, code := range b[:n] {
		if code > maxCode {
			return 0, answers, broken("verdict %d", code)
		}
		answers = append(answers, Answer{Code: Code(code)})
	}
	b = b[n:]
	next := 0
	for range texts {
		if len(b) < ackTextFixed {
			return 0, answers, broken("ack ends within a text")
		}
		i := int(binary.LittleEndian.Uint16(b))
		length := int(binary.LittleEndian.Uint16(b[2:]))
		b = b[ackTextFixed:]
		if i < next || i >= n || length == 0 || length > MaxText || length > len(b) {
			return 0, answers, broken("text of %d bytes for extent %d", length, i)
		}
		answers[i].Text = string(b[:length])
		b, next = b[length:], i+1
	}
	if len(b) != 0 {
		return 0, answers, broken("%d bytes after the last text", len(b))
	}
	return seq, answers, nil
}

// AppendEnd appends the last frame of a direction: how many chunks went over
// this connection.
func AppendEnd(dst []byte, chunks uint64) []byte {
	dst, at := begin(dst)
	dst = binary.LittleEndian.AppendUint64(dst, chunks)
	return finish(dst, at, TypeEnd)
}

// DecodeEnd reads the payload of an End frame.
func DecodeEnd(payload []byte) (chunks uint64, err error) {
	if len(payload) != endSize {
		return 0, broken("end of %d bytes", len(payload))
	}
	return binary.LittleEndian.Uint64(payload), nil
}

// AppendFail appends a Fail frame: the sender of it closes the connection for
// the reason in text.
func AppendFail(dst []byte, text string) []byte {
	text = text[:min(len(text), MaxText)]
	dst, at := begin(dst)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(text)))
	return finish(append(dst, text...), at, TypeFail)
}

// DecodeFail reads the payload of a Fail frame.
func DecodeFail(payload []byte) (text string, err error) {
	if len(payload) < failFixed || len(payload) != failFixed+int(binary.LittleEndian.Uint16(payload)) {
		return "", broken("failure of %d bytes", len(payload))
	}
	return string(payload[failFixed:]), nil
}
