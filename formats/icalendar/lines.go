package icalendar

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/passerelle-cloud/passerelle/formats"
)

// What a component may have at the most: far more than one has, yet bounded.
const (
	maxComponent = 32 << 20 // bytes, attachments included
	maxParts     = 200_000  // properties, parameters, values of lists and components within it
	maxDepth     = 8        // components within each other
	maxAround    = 1 << 20  // bytes of the properties of a calendar itself
)

// component is a component as it stands in a file.
type component struct {
	name       string // in upper case
	properties []property
	components []component

	at   place        // of its BEGIN
	size int          // bytes
	hash formats.Hash // of its unfolded lines
	tail []byte       // what still belongs to the value of the last property
}

// place is where something stands in a file.
type place struct {
	offset int64
	line   int
}

// reader reads the components of calendars, one after the other.
type reader struct {
	in   *bufio.Reader
	at   place // of the last physical line read
	next place // of the one after it
	size int   // bytes of the component so far
	part int   // parts of it

	around int // bytes of the properties of the calendar around

	held    string // a physical line that was read ahead
	heldAt  place
	hasHeld bool

	calendar *component // the VCALENDAR around, with those of its properties that were read
}

// newReader returns a reader of what begins at a place.
func newReader(r io.Reader, at place) *reader {
	return &reader{in: bufio.NewReaderSize(r, 8<<10), next: at}
}

func (r *reader) fault(format string, args ...any) error {
	return fmt.Errorf("%w: icalendar: line %d: %s", formats.ErrInvalid, r.at.line, fmt.Sprintf(format, args...))
}

// component reads the next component of a calendar; after the last one, the calendar itself as a component that has
// only its properties. It returns io.EOF where the file ends well.
func (r *reader) component() (component, error) {
	for {
		line, err := r.logical()
		if errors.Is(err, io.EOF) && r.calendar != nil {
			return component{}, r.fault("the file ends within the calendar that begins on line %d; it was cut off: export it again",
				r.calendar.at.line)
		}
		if err != nil {
			return component{}, err
		}
		word, name := mark(line)
		switch {
		case word == "BEGIN" && name == "VCALENDAR":
			if r.calendar != nil {
				return component{}, r.fault("a calendar begins before the one that begins on line %d has its END:VCALENDAR", r.calendar.at.line)
			}
			r.calendar = &component{name: name, at: r.at}
			r.part, r.around = 0, 0
		case word == "BEGIN":
			return r.tree(name, line)
		case word == "END" && name == "VCALENDAR" && r.calendar != nil:
			return r.close(), nil
		case strings.TrimSpace(line) == "":
		case word != "" || r.calendar == nil:
			return component{}, r.fault("%q is outside of any calendar; a calendar begins with BEGIN:VCALENDAR", clip(line))
		default:
			if r.around += len(line); r.around > maxAround {
				return component{}, r.fault("the calendar itself has more than %d MiB of properties", maxAround>>20)
			}
			if err := r.add(r.calendar, line); err != nil {
				return component{}, err
			}
		}
	}
}

// close ends the calendar.
func (r *reader) close() component {
	c := *r.calendar
	c.flush()
	r.calendar, r.size = nil, 0
	return c
}

// tree reads a component up to its END, with those in it.
func (r *reader) tree(name, begin string) (component, error) {
	if !token.MatchString(name) {
		return component{}, r.fault("%q does not name a component", clip(begin))
	}
	sum, start := sha256.New(), r.at
	r.size, r.part = len(begin), 0
	open := []component{{name: name, at: start}}
	for {
		line, err := r.logical()
		last := &open[len(open)-1]
		if errors.Is(err, io.EOF) {
			return component{}, r.fault("the file ends within the %s that begins on line %d; it was cut off: export it again", clip(last.name), last.at.line)
		}
		if err != nil {
			return component{}, err
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		io.WriteString(sum, line+"\n")
		switch word, name := mark(line); {
		case word == "BEGIN":
			last.flush()
			if !token.MatchString(name) {
				return component{}, r.fault("%q does not name a component", clip(line))
			}
			if open = append(open, component{name: name, at: r.at}); len(open) > maxDepth {
				return component{}, r.fault("components stand more than %d deep in each other", maxDepth)
			}
			if err := r.count(1); err != nil {
				return component{}, err
			}
		case word == "END" && name != last.name:
			return component{}, r.fault("END:%s does not end the %s that begins on line %d", clip(name), clip(last.name), last.at.line)
		case word == "END" && len(open) > 1:
			last.flush()
			outer := &open[len(open)-2]
			outer.components = append(outer.components, *last)
			open = open[:len(open)-1]
		case word == "END":
			return r.finish(*last, sum), nil
		default:
			if err := r.add(last, line); err != nil {
				return component{}, err
			}
		}
	}
}

func (r *reader) finish(c component, sum hash.Hash) component {
	c.flush()
	c.size, r.size = r.size, 0
	sum.Sum(c.hash[:0])
	return c
}

// count counts parts of a component.
func (r *reader) count(n int) error {
	if r.part += n; r.part > maxParts {
		return r.fault("this component has more than %d properties, parameters and values", maxParts)
	}
	return nil
}

// add adds a line to a component. A line that is no property is the rest of the value before it: its line break was
// neither escaped nor folded.
func (r *reader) add(c *component, line string) error {
	p, ok := parseProperty(line)
	last := len(c.properties) - 1
	switch {
	case ok:
		c.flush()
		c.properties = append(c.properties, p)
		return r.count(1 + p.weight())
	case last < 0:
		c.properties = append(c.properties, property{name: "COMMENT", params: formats.Params{}, value: escape(line)})
	default:
		c.tail = append(append(c.tail, `\n`...), line...)
	}
	return r.count(1)
}

// flush gives the last property the rest of its value.
func (c *component) flush() {
	if len(c.tail) > 0 {
		c.properties[len(c.properties)-1].value += string(c.tail)
		c.tail = nil
	}
}

// first returns the first property of that name, or nil.
func (c *component) first(name string) *property {
	for i := range c.properties {
		if c.properties[i].name == name {
			return &c.properties[i]
		}
	}
	return nil
}

// text returns the text of the first property of that name.
func (c *component) text(name string) string {
	if p := c.first(name); p != nil {
		return unescape(p.value)
	}
	return ""
}

// mark returns BEGIN or END and the name of the component, of a line that is such a mark.
func mark(line string) (word, name string) {
	head, value, ok := strings.Cut(line, ":")
	word = strings.ToUpper(strings.TrimSpace(head))
	if !ok || word != "BEGIN" && word != "END" {
		return "", ""
	}
	return word, strings.ToUpper(strings.TrimSpace(value))
}

// logical reads a line and those that continue it, which begin with white space (RFC 5545 section 3.1). A character
// that is torn between them is whole again. Bytes that are not UTF-8 are taken for Windows-1252, as which old programs
// wrote; control characters go.
func (r *reader) logical() (string, error) {
	line, err := r.physical()
	if err != nil {
		return "", err
	}
	begin, whole := r.at, []byte(line)
	for {
		next, err := r.physical()
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		if err == nil && next != "" && (next[0] == ' ' || next[0] == '\t') {
			whole = append(whole, next[1:]...)
			continue
		}
		if err == nil {
			r.held, r.heldAt, r.hasHeld = next, r.at, true
		}
		r.at = begin
		return clean(whole), nil
	}
}

func clean(line []byte) string {
	if utf8.Valid(line) {
		return printable(string(line))
	}
	var b strings.Builder
	for len(line) > 0 {
		c, n := utf8.DecodeRune(line)
		if c == utf8.RuneError && n == 1 {
			c = charmap.Windows1252.DecodeByte(line[0])
		}
		b.WriteRune(c)
		line = line[n:]
	}
	return printable(b.String())
}

// physical reads a line without its line break.
func (r *reader) physical() (string, error) {
	if r.hasHeld {
		r.hasHeld, r.at = false, r.heldAt
		return r.held, nil
	}
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		line = append(line, part...)
		if r.size += len(part); r.size > maxComponent {
			return "", r.fault("this component has more than %d MiB", maxComponent>>20)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
			return "", err
		}
		break
	}
	r.next.line++
	r.at = r.next
	r.next.offset += int64(len(line))
	if r.at.line == 1 {
		line = bytes.TrimPrefix(line, []byte("\ufeff"))
		if bytes.HasPrefix(line, []byte{0xff, 0xfe}) || bytes.HasPrefix(line, []byte{0xfe, 0xff}) {
			return "", r.fault("the file is UTF-16; save it as UTF-8")
		}
	}
	return string(bytes.TrimRight(line, "\r\n")), nil
}

// write writes the component.
func (c *component) write(w *bytes.Buffer) {
	writeLine(w, "BEGIN:"+c.name)
	for i := range c.properties {
		writeLine(w, c.properties[i].line())
	}
	for i := range c.components {
		c.components[i].write(w)
	}
	writeLine(w, "END:"+c.name)
}

// writeLine writes a line folded so that no part has more than 75 bytes and no character is torn (RFC 5545
// section 3.1).
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
