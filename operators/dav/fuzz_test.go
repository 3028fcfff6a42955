package dav

import (
	"encoding/xml"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"
)

// FuzzNames has ids of records become addresses, and these ids again.
func FuzzNames(f *testing.F) {
	for _, id := range []string{"abc", "a/b", "~", "~YQ", "urn:uuid:1", "é", "..", ".", "", "a.vcf", "a%2Fb", strings.Repeat("x", 300)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if id == "" {
			return
		}
		u, err := url.Parse(contacts.hrefOf(id))
		if err != nil || !strings.HasPrefix(u.Path, contacts.at) || strings.Contains(u.Path[len(contacts.at):], "/") {
			t.Fatalf("%q: %v %v", id, u, err)
		}
		if back := contacts.idOf(u.Path[len(contacts.at):]); back != id {
			t.Errorf("%q becomes %q, and that %q", id, u.Path, back)
		}
	})
}

// FuzzValues reads what stands in headers, addresses and texts.
func FuzzValues(f *testing.F) {
	for _, text := range []string{"Infinite, Second-10", "Second-4294967295", "P1DT2H", "P99999999999W", "urn:passerelle:sync:7", "g.FN;X=\"a:b\":v\r\n x", "/dav/files/a/../b", `"a", "b"`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d := timeout(text); d <= 0 || d > longestLock {
			t.Errorf("timeout %v", d)
		}
		if d := lasting(text); d < 0 || d > year {
			t.Errorf("lasting %v", d)
		}
		if at, err := parseSyncToken(text); err == nil && at < 0 {
			t.Errorf("position %d", at)
		}
		for _, l := range contentLines(text) {
			if strings.Contains(l.name, ":") && !strings.Contains(l.name, `"`) {
				t.Errorf("%+v", l)
			}
		}
		if p, err := placeOf(text); err == nil && (strings.Contains(p, "/../") || strings.HasSuffix(p, "/")) {
			t.Errorf("%q", p)
		}
		var fault *fault
		if err := checkName(text); err != nil && !errors.As(err, &fault) {
			t.Error(err)
		}
		r := timeRange{Start: text, End: text}
		if from, to, ok := r.bounds(); ok && from != to {
			t.Error(from, to)
		}
	})
}

// FuzzBodies reads every kind of XML body.
func FuzzBodies(f *testing.F) {
	f.Add(`<propfind xmlns="DAV:"><prop><getetag/></prop></propfind>`)
	f.Add(`<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x>y</x></D:prop></D:set><D:remove><D:prop><z/></D:prop></D:remove></D:propertyupdate>`)
	f.Add(`<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner>me</D:owner></D:lockinfo>`)
	f.Add(`<C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav"><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="20260101T000000Z"/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>`)
	f.Fuzz(func(t *testing.T, body string) {
		var p propfind
		if xml.Unmarshal([]byte(body), &p) == nil && p.Prop != nil && len(*p.Prop) > mostNames {
			t.Error("too many names")
		}
		var list changes
		if xml.Unmarshal([]byte(body), &list) == nil && len(list) > mostNames {
			t.Error("too many changes")
		}
		var info lockinfo
		if xml.Unmarshal([]byte(body), &info) == nil && len(info.owner()) > 8*maxOwner {
			t.Error("a long owner")
		}
		var r report
		if xml.Unmarshal([]byte(body), &r) == nil {
			if _, err := calendar.matcher(&r.Filter); err != nil && faultOf(err) == nil {
				t.Error(err)
			}
		}
	})
}

func TestLasting(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "PT0S": 0, "P1D": aDay, "PT1H30M": 90 * time.Minute, "P1W": 7 * aDay, "P1DT1S": aDay + time.Second, "x": year, "P": 0, "PTxS": year} {
		if got := lasting(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
