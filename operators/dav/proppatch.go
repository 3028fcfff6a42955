package dav

import (
	"encoding/xml"
	"net/http"
	"time"

	"github.com/passerelle-cloud/passerelle/operators/home"
)

// change is something that PROPPATCH sets or removes.
type change struct {
	name  xml.Name
	value string
}

// changes is the body of PROPPATCH, in its order.
type changes []change

// UnmarshalXML implements [xml.Unmarshaler].
func (p *changes) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	if start.Name != dav("propertyupdate") {
		return errXML
	}
	inProp := false
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			switch {
			case inProp:
				if len(*p) >= mostNames || !bound(t) {
					return errXML
				}
				var value string
				if err := d.DecodeElement(&value, &t); err != nil {
					return err
				}
				*p = append(*p, change{t.Name, value})
			case t.Name == dav("prop"):
				inProp = true
			case t.Name != dav("set") && t.Name != dav("remove"):
				if err := d.Skip(); err != nil {
					return err
				}
			}
		case xml.EndElement:
			inProp = inProp && t.Name != dav("prop")
			if t.Name == dav("propertyupdate") {
				return nil
			}
		}
	}
}

// proppatch takes what Windows and macOS say of a file that they have just put: when it was changed is kept, of the rest
// they are told that it is. Other properties are refused, each by name: an archive has no place for them, so they would not
// move with the person.
func (f *file) proppatch() error {
	var list changes
	if some, err := f.readXML(&list); err != nil || !some {
		if err == nil {
			err = errXML
		}
		return err
	}
	guard, err := f.guard(f.path, effect{path: f.path})
	if err != nil {
		return err
	}
	ctx := f.r.Context()
	e, err := f.instance.Sight().Entry(ctx, f.path)
	if err != nil {
		return err
	}
	refused := false
	for _, c := range list {
		refused = refused || c.name.Space != nsWindows
	}
	if at := modifiedIn(list); !refused && !at.IsZero() {
		err = f.instance.Touch(ctx, f.path, at, guard)
	} else {
		err = guard(ctx, f.instance.Sight())
	}
	if err != nil {
		return err
	}
	return f.patched(&e, list, refused)
}

// patched says what came of each property: all of them, or none.
func (f *file) patched(e *home.Entry, list changes, refused bool) error {
	m := f.multistatus()
	m.begin()
	m.text("<D:response><D:href>", escape(hrefOf(e.Path, e.Folder)), "</D:href>")
	for _, c := range list {
		switch {
		case !refused:
			m.propstat(element(c.name, ""), http.StatusOK, "")
		case c.name.Space == nsWindows:
			m.propstat(element(c.name, ""), http.StatusFailedDependency, "")
		default:
			m.propstat(element(c.name, ""), http.StatusForbidden, "<D:cannot-modify-protected-property/>")
		}
	}
	m.text("</D:response>")
	return m.end("")
}

// modifiedIn returns when Windows says that the file was changed; zero if it does not.
func modifiedIn(list changes) time.Time {
	for _, c := range list {
		if c.name == (xml.Name{Space: nsWindows, Local: "Win32LastModifiedTime"}) {
			if at, err := http.ParseTime(c.value); err == nil {
				return at.UTC()
			}
		}
	}
	return time.Time{}
}
