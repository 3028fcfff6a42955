package camt

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/passerelle-cloud/passerelle/formats"
)

// maxItem is how many bytes an entry, or anything else that is read in one piece, may have. An entry of one payment
// has some 2 KiB.
const maxItem = 8 << 20

var errTooLong = errors.New("something here is longer than 8 MiB")

// source is the text of a file in UTF-8. It keeps what was read since it was last told to forget.
type source struct {
	in   *bufio.Reader
	kept []byte
	at   int64 // offset of the first byte kept
}

// ReadByte implements [io.ByteReader], so that the XML decoder reads no further than it has to.
func (s *source) ReadByte() (byte, error) {
	if len(s.kept) >= maxItem {
		return 0, errTooLong
	}
	c, err := s.in.ReadByte()
	if err == nil {
		s.kept = append(s.kept, c)
	}
	return c, err
}

// Read implements [io.Reader], as the XML decoder asks for one. It reads nothing but through ReadByte.
func (s *source) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := s.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}

// forget drops what was kept before an offset.
func (s *source) forget(offset int64) {
	s.kept = append(s.kept[:0], s.kept[offset-s.at:]...)
	s.at = offset
}

// text returns what stands between two offsets; it is good until the source forgets.
func (s *source) text(from, to int64) []byte { return s.kept[from-s.at : to-s.at] }

// declaration finds the encoding in an XML declaration.
var declaration = regexp.MustCompile(`^<\?xml[^>]*\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["']`)

// newSource finds out in which encoding r is: by its byte order mark, else by its XML declaration.
func newSource(r io.Reader) (*source, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	head, err := in.Peek(256)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("camt: %w", err)
	}
	if bytes.HasPrefix(head, []byte("\ufeff")) {
		_, err := in.Discard(len("\ufeff"))
		return &source{in: in}, err
	}
	if bytes.HasPrefix(head, []byte{0xff, 0xfe}) || bytes.HasPrefix(head, []byte{0xfe, 0xff}) {
		utf16 := unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM)
		return &source{in: bufio.NewReader(utf16.NewDecoder().Reader(in))}, nil
	}
	m := declaration.FindSubmatch(bytes.TrimLeft(head, " \t\r\n"))
	if m == nil {
		return &source{in: in}, nil
	}
	from, err := charset(string(m[1]))
	if err != nil || from == nil {
		return &source{in: in}, err
	}
	return &source{in: bufio.NewReader(from.NewDecoder().Reader(in))}, nil
}

// charset returns what decodes the encoding of that name, or nil for UTF-8.
func charset(name string) (encoding.Encoding, error) {
	switch strings.ToUpper(name) {
	case "UTF-8", "UTF8", "US-ASCII", "ASCII":
		return nil, nil
	case "ISO-8859-1", "ISO8859-1", "LATIN1":
		return charmap.ISO8859_1, nil
	case "ISO-8859-15", "ISO8859-15":
		return charmap.ISO8859_15, nil
	case "WINDOWS-1252", "CP1252":
		return charmap.Windows1252, nil
	}
	return nil, fmt.Errorf("%w: camt: line 1: the encoding %q is not known here; save the file as UTF-8", formats.ErrInvalid, name)
}
