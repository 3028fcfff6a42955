package dav

import (
	"encoding/xml"
	"net/http"
	"net/url"
)

// around answers what is around files, contacts and calendars: what there is, and who the person is.
func (c *call) around() error {
	switch c.r.Method {
	case http.MethodOptions:
		return c.allow("1, 3, addressbook, calendar-access", "OPTIONS", "PROPFIND")
	case "PROPFIND":
	default:
		return errMethod
	}
	var list []*resource
	switch p := c.r.URL.Path; {
	case p == Root || p+"/" == Root:
		list = c.everything()
	case p == principalPath(c.person) || p+"/" == principalPath(c.person):
		list = []*resource{c.who()}
	default:
		return &fault{status: http.StatusNotFound, text: "Nothing is there. Files are at " + Files + ", contacts at " + Contacts + ", calendars at " + Calendars + "."}
	}
	return c.tell(list)
}

// tell answers PROPFIND about a resource and those in it.
func (c *call) tell(list []*resource) error {
	depth, err := c.depth()
	if err != nil {
		return err
	}
	asked := &propfind{}
	if _, err := c.readXML(asked); err != nil {
		return err
	}
	if depth < 0 {
		return errDepth
	}
	if depth == 0 {
		list = list[:1]
	}
	m := c.multistatus()
	for _, r := range list {
		if err := m.resource(r, asked); err != nil && !m.begun {
			return err
		} else if err != nil {
			return c.cut(err)
		}
	}
	return m.end("")
}

func principalPath(person string) string { return principals + person + "/" }

// principal is the address of who signed in.
func (c *call) principal() string { return (&url.URL{Path: principalPath(c.person)}).EscapedPath() }

func (c *call) everything() []*resource {
	list := []*resource{c.folder(Root, "Passerelle")}
	for _, one := range [][2]string{{Files, "Files"}, {Trash, "Trash"}, {Contacts, "Contacts"}, {Calendars, "Calendars"}} {
		list = append(list, c.folder(one[0], one[1]))
	}
	return list
}

// folder is a collection that is always there.
func (c *call) folder(path, name string) *resource {
	return &resource{href: path, props: map[xml.Name]property{
		dav("resourcetype"):           raw("<D:collection/>"),
		dav("displayname"):            text(name),
		dav("current-user-principal"): href(c.principal()),
	}}
}

// who says where what is the person's (RFC 3744, section 4; RFC 6352, section 7.1; RFC 4791, section 6.2).
func (c *call) who() *resource {
	r := c.folder(c.principal(), c.person)
	r.props[dav("resourcetype")] = raw("<D:collection/><D:principal/>")
	r.props[dav("principal-URL")] = href(c.principal())
	r.props[xml.Name{Space: nsCard, Local: "addressbook-home-set"}] = href(Contacts)
	r.props[xml.Name{Space: nsCal, Local: "calendar-home-set"}] = href(Calendars)
	r.props[xml.Name{Space: nsCal, Local: "calendar-user-address-set"}] = href(c.principal())
	return r
}

// WellKnown leads programs that know only the host to where they begin (RFC 6764, section 5).
func WellKnown(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, Root, http.StatusMovedPermanently)
}
