package dav

import (
	"bufio"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// The namespaces.
const (
	nsDAV     = "DAV:"
	nsCard    = "urn:ietf:params:xml:ns:carddav"
	nsCal     = "urn:ietf:params:xml:ns:caldav"
	nsServer  = "http://calendarserver.org/ns/"
	nsWindows = "urn:schemas-microsoft-com:"
)

func dav(local string) xml.Name { return xml.Name{Space: nsDAV, Local: local} }

// property is the value of a property: XML with the prefixes D, A, C and S.
type property func() (inner string, err error)

// resource is something that has properties.
type resource struct {
	href  string // escaped
	props map[xml.Name]property
	// named are properties that are told only to who asks for them by name: they cost much, or are long.
	named map[xml.Name]property
}

// names is the children of an element: the properties that somebody asks for.
type names []xml.Name

// mostNames is how many properties one request asks for: the answer has each of them for each resource.
const mostNames = 200

// UnmarshalXML implements [xml.Unmarshaler].
func (n *names) UnmarshalXML(d *xml.Decoder, _ xml.StartElement) error {
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.EndElement:
			return nil
		case xml.StartElement:
			if len(*n) >= mostNames || !bound(t) {
				return errXML
			}
			*n = append(*n, t.Name)
			if err := d.Skip(); err != nil {
				return err
			}
		}
	}
}

// bound reports whether no prefix is bound to nothing, which XML forbids (Namespaces in XML 1.0, section 2.2).
func bound(e xml.StartElement) bool {
	for _, a := range e.Attr {
		if a.Name.Space == "xmlns" && a.Value == "" {
			return false
		}
	}
	return true
}

// propfind is the body of PROPFIND; an empty one asks for all.
type propfind struct {
	XMLName  xml.Name  `xml:"DAV: propfind"`
	All      *struct{} `xml:"DAV: allprop"`
	Names    *struct{} `xml:"DAV: propname"`
	Prop     *names    `xml:"DAV: prop"`
	Included names     `xml:"DAV: include"`
}

// readXML reads a body, and reports whether there was any.
func (c *call) readXML(into any) (some bool, err error) {
	body := &counted{in: c.r.Body}
	err = xml.NewDecoder(body).Decode(into)
	if errors.Is(err, io.EOF) && body.n == 0 {
		return false, nil
	}
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return false, tooLong
	}
	if err != nil {
		return false, errXML
	}
	return true, nil
}

// counted counts what is read.
type counted struct {
	in io.Reader
	n  int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n += n
	return n, err
}

// multistatus writes an answer about several resources (RFC 4918, section 13), one after the other.
type multistatus struct {
	c     *call
	out   *bufio.Writer
	begun bool
}

func (c *call) multistatus() *multistatus { return &multistatus{c: c, out: bufio.NewWriter(c.w)} }

func (m *multistatus) begin() {
	if m.begun {
		return
	}
	m.begun = true
	m.c.w.Header().Set("Content-Type", `application/xml; charset="utf-8"`)
	m.c.w.WriteHeader(http.StatusMultiStatus)
	m.text(xml.Header + `<D:multistatus xmlns:D="DAV:" xmlns:A="` + nsCard + `" xmlns:C="` + nsCal + `" xmlns:S="` + nsServer + `">`)
}

// text writes; a reader who is gone is noticed at the end.
func (m *multistatus) text(parts ...string) {
	for _, p := range parts {
		m.out.WriteString(p)
	}
}

// end ends the answer. More is what comes after the resources.
func (m *multistatus) end(more string) error {
	m.begin()
	m.text(more, "</D:multistatus>\n")
	m.out.Flush() // if the reader is gone there is nobody to tell
	return nil
}

// status says of a resource that there is something wrong with it.
func (m *multistatus) status(href string, status int, condition string) {
	m.begin()
	m.text("<D:response><D:href>", escape(href), "</D:href><D:status>", statusLine(status), "</D:status>")
	if condition != "" {
		m.text("<D:error>", condition, "</D:error>")
	}
	m.text("</D:response>")
}

func statusLine(status int) string {
	text := http.StatusText(status)
	return "HTTP/1.1 " + strconv.Itoa(status) + " " + text
}

// resource says of a resource what was asked.
func (m *multistatus) resource(r *resource, asked *propfind) error {
	found, missing, err := answers(r, asked)
	if err != nil {
		return err
	}
	m.begin()
	m.text("<D:response><D:href>", escape(r.href), "</D:href>")
	if found != "" || missing == "" {
		m.propstat(found, http.StatusOK, "")
	}
	if missing != "" {
		m.propstat(missing, http.StatusNotFound, "")
	}
	m.text("</D:response>")
	return nil
}

func (m *multistatus) propstat(props string, status int, condition string) {
	m.text("<D:propstat><D:prop>", props, "</D:prop><D:status>", statusLine(status), "</D:status>")
	if condition != "" {
		m.text("<D:error>", condition, "</D:error>")
	}
	m.text("</D:propstat>")
}

// answers returns the properties that there are, and the names of those that there are not.
func answers(r *resource, asked *propfind) (found, missing string, err error) {
	wanted := []xml.Name(asked.Included)
	switch {
	case asked.Names != nil:
		for name := range r.props {
			found += element(name, "")
		}
		return found, "", nil
	case asked.Prop != nil:
		wanted = *asked.Prop
	default:
		for name := range r.props {
			wanted = append(wanted, name)
		}
	}
	for _, name := range wanted {
		p, ok := r.props[name]
		if !ok {
			p, ok = r.named[name]
		}
		if !ok {
			missing += element(name, "")
			continue
		}
		inner, err := p()
		if err != nil {
			return "", "", err
		}
		found += element(name, inner)
	}
	return found, missing, nil
}

// element is an element with what is in it, which is XML.
func element(name xml.Name, inner string) string {
	tag, end := "X:"+name.Local+` xmlns:X="`+escape(name.Space)+`"`, "X:"+name.Local
	switch name.Space {
	case nsDAV:
		tag, end = "D:"+name.Local, "D:"+name.Local
	case "":
		tag, end = name.Local, name.Local
	}
	if inner == "" {
		return "<" + tag + "/>"
	}
	return "<" + tag + ">" + inner + "</" + end + ">"
}

// The values of properties.

func text(value string) property { return func() (string, error) { return escape(value), nil } }

func raw(value string) property { return func() (string, error) { return value, nil } }

func href(address string) property { return raw("<D:href>" + escape(address) + "</D:href>") }

func number(n int64) property { return raw(strconv.FormatInt(n, 10)) }

func httpTime(t time.Time) property { return raw(t.UTC().Format(http.TimeFormat)) }

func isoTime(t time.Time) property { return raw(t.UTC().Format(time.RFC3339)) }
