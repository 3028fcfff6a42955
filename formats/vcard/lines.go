package vcard

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

// maxCard is how many bytes a card may have: far more than a card with pictures has, yet bounded.
const maxCard = 64 << 20

// maxDepth is how deep a card may stand in a card (AGENT of vCard 2.1).
const maxDepth = 8

// rawCard is a card as it stands in a file.
type rawCard struct {
	version    string
	properties []property
	hash       formats.Hash // of its unfolded lines
	tail       []byte       // what still belongs to the value of the last property
}

// reader reads cards, one after the other.
type reader struct {
	in   *bufio.Reader
	line int // number of the last physical line read
	size int // bytes of the card so far

	held    string // a physical line that was read ahead
	hasHeld bool
}

// newReader reads so many bytes at once.
func newReader(r io.Reader, size int) *reader { return &reader{in: bufio.NewReaderSize(r, size)} }

// fileBuffer is for a whole file.
const fileBuffer = 64 << 10

func (r *reader) fault(format string, args ...any) error {
	return fmt.Errorf("%w: vcard: line %d: %s", formats.ErrInvalid, r.line, fmt.Sprintf(format, args...))
}

// card reads the next card. It returns io.EOF where the file ends well.
func (r *reader) card() (rawCard, error) {
	for {
		r.size = 0
		line, err := r.logical()
		if err != nil {
			return rawCard{}, err
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		if !isMark(line, "BEGIN") {
			return rawCard{}, r.fault("%q is outside of any card; a card begins with BEGIN:VCARD", clip(line))
		}
		return r.body(r.line)
	}
}

// body reads a card up to its END, without its BEGIN, which stood on line start.
func (r *reader) body(start int) (rawCard, error) {
	var c rawCard
	sum := sha256.New()
	for {
		line, err := r.logical()
		if errors.Is(err, io.EOF) {
			return c, r.fault("the file ends within the card that begins on line %d; it was cut off: export it again", start)
		}
		if err != nil {
			return c, err
		}
		switch {
		case isMark(line, "END"):
			c.flush()
			sum.Sum(c.hash[:0])
			return c, nil
		case isMark(line, "BEGIN"):
			if line, err = r.nested(&c, start); err != nil {
				return c, err
			}
		case strings.TrimSpace(line) != "":
			c.add(line)
		default:
			continue
		}
		io.WriteString(sum, line+"\n")
	}
}

// nested reads a card that is the value of the property before it, as AGENT is in vCard 2.1.
func (r *reader) nested(c *rawCard, start int) (string, error) {
	c.flush()
	last := len(c.properties) - 1
	if last < 0 || strings.TrimSpace(c.properties[last].value) != "" {
		return "", r.fault("a card begins before the one that begins on line %d has its END:VCARD", start)
	}
	var text strings.Builder
	text.WriteString("BEGIN:VCARD")
	for depth, begin := 1, r.line; depth > 0; {
		line, err := r.logical()
		if errors.Is(err, io.EOF) {
			return "", r.fault("the card within a card that begins on line %d has no end", begin)
		}
		if err != nil {
			return "", err
		}
		switch {
		case isMark(line, "BEGIN"):
			depth++
		case isMark(line, "END"):
			depth--
		}
		if depth > maxDepth {
			return "", r.fault("cards stand more than %d deep in each other", maxDepth)
		}
		text.WriteString("\n" + line)
	}
	c.properties[last].value = escape(text.String())
	return text.String(), nil
}

// add adds a line to the card. A line that is no property is the rest of the value before it: its line break was
// neither escaped nor folded.
func (c *rawCard) add(line string) {
	p, ok := parseProperty(line)
	switch last := len(c.properties) - 1; {
	case ok && p.name == "VERSION" && c.version == "":
		c.version = strings.TrimSpace(p.value)
	case ok:
		c.flush()
		c.properties = append(c.properties, p)
	case last < 0:
		c.properties = append(c.properties, property{name: "NOTE", params: formats.Params{}, value: line})
	case isBase64(&c.properties[last]):
		c.tail = append(c.tail, line...)
	default:
		c.tail = append(append(c.tail, '\n'), line...)
	}
}

// flush gives the last property the rest of its value.
func (c *rawCard) flush() {
	if len(c.tail) > 0 {
		c.properties[len(c.properties)-1].value += string(c.tail)
		c.tail = nil
	}
}

// isMark reports whether a line is BEGIN:VCARD or END:VCARD.
func isMark(line, word string) bool {
	name, value, ok := strings.Cut(line, ":")
	return ok && strings.EqualFold(strings.TrimSpace(name), word) && strings.EqualFold(strings.TrimSpace(value), "VCARD")
}

// logical reads a line and those that continue it: folded ones, which begin with white space, and those that follow a
// soft line break of quoted-printable.
func (r *reader) logical() (string, error) {
	line, err := r.physical()
	if err != nil {
		return "", err
	}
	soft, whole := isQuotedPrintable(line), []byte(line)
	for {
		next, err := r.physical()
		if errors.Is(err, io.EOF) {
			return string(whole), nil
		}
		if err != nil {
			return "", err
		}
		switch {
		case soft && bytes.HasSuffix(whole, []byte{'='}):
			whole = append(whole[:len(whole)-1], next...)
		case next != "" && (next[0] == ' ' || next[0] == '\t'):
			whole = append(whole, next[1:]...)
		default:
			r.held, r.hasHeld = next, true
			return string(whole), nil
		}
	}
}

// isQuotedPrintable reports whether a line says that its value is quoted-printable.
func isQuotedPrintable(line string) bool {
	at := unquoted(line, ':')
	if at < 0 || !strings.Contains(strings.ToUpper(line[:at]), "QUOTED-PRINTABLE") {
		return false
	}
	p, ok := parseProperty(line[:at+1])
	return ok && strings.EqualFold(p.param("encoding"), "quoted-printable")
}

// physical reads a line without its line break.
func (r *reader) physical() (string, error) {
	if r.hasHeld {
		r.hasHeld = false
		return r.held, nil
	}
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		line = append(line, part...)
		if r.size += len(part); r.size > maxCard {
			return "", r.fault("this card has more than %d MiB", maxCard>>20)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
			return "", err
		}
		break
	}
	r.line++
	if r.line == 1 {
		line = bytes.TrimPrefix(line, []byte("\ufeff"))
		if bytes.HasPrefix(line, []byte{0xff, 0xfe}) || bytes.HasPrefix(line, []byte{0xfe, 0xff}) {
			return "", r.fault("the file is UTF-16; save it as UTF-8")
		}
	}
	return string(bytes.TrimRight(line, "\r\n")), nil
}

// writeLine writes a line folded so that no part has more than 75 bytes and no character is torn (RFC 6350
// section 3.2).
func writeLine(w *bytes.Buffer, line string) {
	room := 75
	for len(line) > room {
		cut := room
		for cut > 1 && !utf8.RuneStart(line[cut]) {
			cut--
		}
		w.WriteString(line[:cut])
		w.WriteString("\r\n ")
		line = line[cut:]
		room = 74
	}
	w.WriteString(line)
	w.WriteString("\r\n")
}

// clip returns the beginning of a line, for a message: the rest is the person's.
func clip(s string) string {
	const most = 20
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
