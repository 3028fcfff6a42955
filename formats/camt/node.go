package camt

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

const (
	maxDepth = 64      // of elements in each other; the standard has some 20
	maxNodes = 1 << 18 // of elements in what is read in one piece
)

// node is an element with what is in it. All methods accept nil, which stands for an element that is not there.
type node struct {
	name     string // without its namespace, which changes with each version of the standard
	space    string
	currency string // the attribute Ccy
	text     string // without white space around it
	line     int
	from, to int64 // offsets in the file
	children []*node
}

// at returns the first element at that path below n, or nil.
func (n *node) at(path ...string) *node {
	for _, name := range path {
		all := n.all(name)
		if len(all) == 0 {
			return nil
		}
		n = all[0]
	}
	return n
}

// all returns the elements of that name directly below n.
func (n *node) all(name string) []*node {
	if n == nil {
		return nil
	}
	var list []*node
	for _, c := range n.children {
		if c.name == name {
			list = append(list, c)
		}
	}
	return list
}

// get returns the text at a path, or "".
func (n *node) get(path ...string) string {
	if found := n.at(path...); found != nil {
		return found.text
	}
	return ""
}

// first returns the first of several paths at which there is a text. Names of a path are parted by "/".
func (n *node) first(paths ...string) string {
	for _, p := range paths {
		if text := n.get(strings.Split(p, "/")...); text != "" {
			return text
		}
	}
	return ""
}

// parser reads elements of a file.
type parser struct {
	src   *source
	dec   *xml.Decoder
	depth int
	nodes int // since the last piece
}

func newParser(src *source) *parser {
	p := &parser{src: src, dec: xml.NewDecoder(src)}
	p.dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // see newSource
	return p
}

// parse reads elements without one around them. Its result has them as children.
func parse(text []byte) (*node, error) {
	text = append(append([]byte("<r>"), text...), "</r>"...)
	p := newParser(&source{in: bufio.NewReader(bytes.NewReader(text))})
	token, err := p.token()
	if err != nil {
		return nil, err
	}
	start, _ := token.(xml.StartElement)
	return p.element(start, 0)
}

func (p *parser) fault(format string, args ...any) error {
	line, _ := p.dec.InputPos()
	return fmt.Errorf("%w: camt: line %d: %s", formats.ErrInvalid, line, fmt.Sprintf(format, args...))
}

// token returns the next start, end or text. It returns io.EOF where the file ends well.
func (p *parser) token() (xml.Token, error) {
	for {
		token, err := p.dec.Token()
		if err != nil {
			return nil, p.failure(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if p.depth++; p.depth > maxDepth {
				return nil, p.fault("elements stand more than %d deep in each other", maxDepth)
			}
			return t, nil
		case xml.EndElement:
			p.depth--
			return t, nil
		case xml.CharData:
			return t, nil
		case xml.Directive:
			return nil, p.fault("a document type definition is refused: no bank's statement has one")
		}
	}
}

// failure says where the decoder failed and why.
func (p *parser) failure(err error) error {
	var syntax *xml.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &syntax) && strings.Contains(syntax.Msg, "unexpected EOF"):
		return p.fault("the file ends within an element; it was cut off: get it again")
	case errors.As(err, &syntax):
		return p.fault("%s", strings.ToValidUTF8(syntax.Msg[:min(len(syntax.Msg), 200)], "")) // it may hold a name of any length
	case errors.Is(err, errTooLong):
		return p.fault("%v", err)
	}
	if strings.HasPrefix(err.Error(), "xml: ") { // the decoder's own, such as an unknown version
		return p.fault("%s", strings.ToValidUTF8(err.Error()[:min(len(err.Error()), 200)], ""))
	}
	return fmt.Errorf("camt: %w", err)
}

// next is token for what stands directly in an element: starts and its end, or io.EOF outside of all. It forgets what
// was before.
func (p *parser) next() (start xml.StartElement, at int64, end bool, err error) {
	for {
		at = p.dec.InputOffset()
		p.src.forget(at)
		p.nodes = 0
		token, err := p.token()
		if err != nil {
			return xml.StartElement{}, at, false, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			return t, at, false, nil
		case xml.EndElement:
			return xml.StartElement{}, at, true, nil
		}
	}
}

// element reads the element whose start was read, which stands at that offset.
func (p *parser) element(start xml.StartElement, at int64) (*node, error) {
	if p.nodes++; p.nodes > maxNodes {
		return nil, p.fault("there are more than %d elements in one entry", maxNodes)
	}
	line, _ := p.dec.InputPos()
	n := &node{name: start.Name.Local, space: start.Name.Space, line: line, from: at}
	for _, a := range start.Attr {
		if a.Name.Local == "Ccy" {
			n.currency = strings.TrimSpace(a.Value)
		}
	}
	var text []byte
	for {
		at := p.dec.InputOffset()
		token, err := p.token()
		if errors.Is(err, io.EOF) {
			err = p.fault("the file ends within an element; it was cut off: get it again")
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			child, err := p.element(t, at)
			if err != nil {
				return nil, err
			}
			n.children = append(n.children, child)
		case xml.EndElement:
			n.text, n.to = strings.TrimSpace(string(text)), p.dec.InputOffset()
			return n, nil
		case xml.CharData:
			text = append(text, t...)
		}
	}
}
