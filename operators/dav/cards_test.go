package dav_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

func card(uid, name string, more ...string) string {
	return "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:" + uid + "\r\nFN:" + name + "\r\n" + strings.Join(more, "") + "END:VCARD\r\n"
}

func event(uid, start, more string) string {
	return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Test//Test//EN\r\nBEGIN:VEVENT\r\nUID:" + uid + "\r\nDTSTAMP:20260101T000000Z\r\nDTSTART" + start + "\r\n" + more + "SUMMARY:" + uid + "\\, really\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
}

// keeps checks that the lines of a text that came back hold each of those that were put.
func keeps(t *testing.T, got string, lines ...string) {
	t.Helper()
	unfolded := strings.ReplaceAll(got, "\r\n ", "")
	for _, l := range lines {
		if !strings.Contains(unfolded, l) {
			t.Errorf("%q is not kept: %s", l, unfolded)
		}
	}
}

func TestContacts(t *testing.T) {
	each(t, home.Options{}, func(t *testing.T, s *site) {
		at := "/dav/contacts/default/"
		odd := card("abc", `Dupont\; SARL`, "N:Dupont\\, fils;Zoé;;;\r\n", "X-ODD;X-P=\"a;b,c:d\":x\\;y\r\n", "NOTE:one\\ntwo\r\n", "EMAIL;TYPE=work;PREF=1:z@example.org\r\n")
		s.want(201, "", "PUT", at+"abc.vcf", odd, "Content-Type", "text/vcard; charset=utf-8", "If-None-Match", "*")
		s.want(412, "", "PUT", at+"abc.vcf", odd, "If-None-Match", "*")
		got := s.want(200, "BEGIN:VCARD", "GET", at+"abc.vcf", "")
		keeps(t, got.body, "UID:abc", `FN:Dupont\; SARL`, `N:Dupont\, fils;Zoé`, "z@example.org", `NOTE:one\ntwo`)
		if !regexp.MustCompile(`X-ODD;X-P="a;b,c:d":x\\+;y`).MatchString(strings.ReplaceAll(got.body, "\r\n ", "")) {
			t.Error(got.body)
		}
		tag := s.want(204, "", "PUT", at+"abc.vcf", got.body, "If-Match", got.Header.Get("ETag")).Header.Get("ETag")
		if tag == "" {
			t.Error("what comes back to the byte has no entity tag")
		}
		s.want(200, got.body, "GET", at+"abc.vcf", "")
		s.want(409, "no-uid-conflict", "PUT", at+"other.vcf", odd)
		s.want(403, "valid-address-data", "PUT", at+"x.vcf", "BEGIN:VCARD\r\nFN:x")
		s.want(403, "one at a time", "PUT", at+"x.vcf", card("1", "a")+card("2", "b"))
		s.want(403, "one at a time", "PUT", at+"x.vcf", "")
		s.want(415, "", "PUT", at+"x.vcf", "{}", "Content-Type", "application/json")
		s.want(201, "", "PUT", at+"of%20its%20own%3A%C3%A9.vcf", card("urn:uuid:1", "Own"))
		list := s.want(207, "<A:addressbook/>", "PROPFIND", at, "", "Depth", "1").body
		href := regexp.MustCompile(`/dav/contacts/default/~[A-Za-z0-9_-]+\.vcf`).FindString(list)
		s.want(200, "FN:Own", "GET", href, "")
		multi := `<C:addressbook-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><D:prop><D:getetag/><C:address-data/></D:prop><D:href>` + href + `</D:href><D:href>/dav/contacts/default/none.vcf</D:href><D:href>/dav/files/x</D:href></C:addressbook-multiget>`
		both := s.want(207, "FN:Own", "REPORT", at, multi).body
		if strings.Count(both, "HTTP/1.1 404 Not Found") != 2 {
			t.Error(both)
		}
		query := `<C:addressbook-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><D:prop><C:address-data/></D:prop><C:filter test="anyof"><C:prop-filter name="EMAIL"><C:text-match match-type="ends-with">EXAMPLE.ORG</C:text-match></C:prop-filter></C:filter></C:addressbook-query>`
		if found := s.want(207, "FN:Dupont", "REPORT", at, query).body; strings.Contains(found, "FN:Own") {
			t.Error(found)
		}
		none := strings.Replace(query, `<C:text-match match-type="ends-with">EXAMPLE.ORG</C:text-match>`, "<C:is-not-defined/>", 1)
		if found := s.want(207, "FN:Own", "REPORT", at, none).body; strings.Contains(found, "FN:Dupont") {
			t.Error(found)
		}
		s.want(204, "", "DELETE", at+"abc.vcf", "", "If-Match", tag)
		s.want(404, "", "GET", at+"abc.vcf", "")
		s.want(404, "", "DELETE", at+"abc.vcf", "")
		s.want(404, "", "PROPFIND", "/dav/contacts/other/", "", "Depth", "0")
		s.want(403, "", "MKCOL", "/dav/contacts/other/", "")
		s.want(403, "supported-report", "REPORT", at, `<x/>`)
	})
}

func TestSynchronize(t *testing.T) {
	each(t, home.Options{}, func(t *testing.T, s *site) {
		at := "/dav/contacts/default/"
		token := func(body string) string {
			return regexp.MustCompile(`<D:sync-token>([^<]*)</D:sync-token></D:multistatus>`).FindStringSubmatch(body)[1]
		}
		ask := func(token, more string) string {
			t.Helper()
			return s.want(207, "", "REPORT", at, `<sync-collection xmlns="DAV:"><sync-token>`+token+`</sync-token><sync-level>1</sync-level>`+more+`<prop><getetag/></prop></sync-collection>`).body
		}
		for n := range 5 {
			s.want(201, "", "PUT", fmt.Sprint(at, n, ".vcf"), card(fmt.Sprint(n), "x"))
		}
		first := ask("", "")
		if strings.Count(first, "<D:getetag>") != 5 {
			t.Error(first)
		}
		s.want(201, "", "PUT", "/dav/files/unrelated", "x")
		s.want(204, "", "DELETE", at+"3.vcf", "")
		s.want(204, "", "PUT", at+"1.vcf", card("1", "changed"))
		second := ask(token(first), "")
		if strings.Count(second, "<D:response>") != 2 || !strings.Contains(second, "3.vcf</D:href><D:status>HTTP/1.1 404") || !strings.Contains(second, "1.vcf") {
			t.Error(second)
		}
		if third := ask(token(second), ""); strings.Contains(third, "<D:response>") {
			t.Error(third)
		}
		seen, at1 := 0, ""
		for range 10 {
			part := ask(at1, "<limit><nresults>2</nresults></limit>")
			seen += strings.Count(part, "<D:getetag>")
			at1 = token(part)
			if !strings.Contains(part, "507") {
				break
			}
		}
		if seen != 4 {
			t.Errorf("%d in parts", seen)
		}
		for _, bad := range []string{"urn:passerelle:sync:999999", "urn:passerelle:sync:-1", "urn:passerelle:sync:x", "https://other"} {
			s.want(403, "valid-sync-token", "REPORT", at, `<sync-collection xmlns="DAV:"><sync-token>`+bad+`</sync-token><prop/></sync-collection>`)
		}
	})
}

func TestCalendar(t *testing.T) {
	each(t, home.Options{}, func(t *testing.T, s *site) {
		at := "/dav/calendars/default/"
		s.want(201, "", "PUT", at+"a.ics", event("a", ";TZID=Europe/Paris:20260504T090000", "DURATION:PT1H\r\nX-ODD;X=\"a;b\":c\r\n"), "Content-Type", "text/calendar; component=VEVENT")
		s.want(201, "", "PUT", at+"day.ics", event("day", ";VALUE=DATE:20260505", ""))
		s.want(201, "", "PUT", at+"weekly.ics", event("weekly", ":20260101T100000Z", "DURATION:PT30M\r\nRRULE:FREQ=WEEKLY\r\n"))
		s.want(201, "", "PUT", at+"past.ics", event("past", ":20200101T100000Z", "DURATION:PT30M\r\nRRULE:FREQ=DAILY;UNTIL=20200201T000000Z\r\n"))
		s.want(201, "", "PUT", at+"todo.ics", strings.NewReplacer("VEVENT", "VTODO", "DTSTART", "DUE").Replace(event("todo", ":20260504T120000Z", "")))
		keeps(t, s.want(200, "", "GET", at+"a.ics", "").body, "DTSTART;TZID=Europe/Paris:20260504T090000", `X-ODD;X="a;b":c`, `SUMMARY:a\, really`)
		journal := strings.ReplaceAll(event("j", ":20260504T120000Z", ""), "VEVENT", "VJOURNAL")
		s.want(403, "valid-calendar-data", "PUT", at+"j.ics", journal)
		s.want(403, "valid-calendar-data", "PUT", at+"j.ics", "BEGIN:VCALENDAR\r\n")
		query := func(comp, inner string) string {
			return s.want(207, "", "REPORT", at, `<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/><C:calendar-data/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="`+comp+`">`+inner+`</C:comp-filter></C:comp-filter></C:filter></C:calendar-query>`).body
		}
		for _, c := range []struct{ comp, inner, want string }{
			{"VEVENT", "", "a day past weekly"}, {"VTODO", "", "todo"},
			{"VEVENT", `<C:time-range start="20260504T000000Z" end="20260505T000000Z"/>`, "a day weekly"}, // a whole day floats: it may begin the evening before
			{"VEVENT", `<C:time-range start="20260504T080000Z" end="20260505T000000Z"/>`, "day weekly"},
			{"VEVENT", `<C:time-range start="20260507T120000Z"/>`, "weekly"},
			{"VEVENT", `<C:time-range end="20210101T000000Z"/>`, "past"},
			{"VTODO", `<C:time-range start="20260504T000000Z" end="20260505T000000Z"/>`, "todo"}, {"VTODO", `<C:time-range end="20260503T000000Z"/>`, ""},
			{"VEVENT", `<C:prop-filter name="UID"><C:text-match>weekly</C:text-match></C:prop-filter>`, "weekly"},
			{"VTODO", `<C:prop-filter name="COMPLETED"><C:is-not-defined/></C:prop-filter>`, "todo"},
		} {
			found := query(c.comp, c.inner)
			var got []string
			for _, uid := range []string{"a", "day", "past", "todo", "weekly"} {
				if strings.Contains(found, at+uid+".ics") {
					got = append(got, uid)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s %s: %q, want %q", c.comp, c.inner, got, c.want)
			}
		}
		s.want(400, "time-range", "REPORT", at, `<C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav"><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="yesterday"/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>`)
		s.want(207, `<C:comp name="VEVENT"/>`, "PROPFIND", "/dav/calendars/", "", "Depth", "1")
		s.want(207, "403 Forbidden", "PROPPATCH", at, `<propertyupdate xmlns="DAV:"><set><prop><displayname>x</displayname></prop></set></propertyupdate>`)
	})
}

// TestGroups reads and changes a group whose members an archive brought as links.
func TestGroups(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t), home.Options{})
	put := func(r formats.Record) {
		if _, err := s.alice.Put(t.Context(), r, nil); err != nil {
			t.Fatal(err)
		}
	}
	put(formats.Record{ID: "g", Dataset: formats.Contacts, Kind: formats.KindCard, Body: []byte(`{"version":"1.0","uid":"g","kind":"group","name":{"full":"Club"}}`)})
	for _, id := range []string{"ann", "bob"} {
		put(formats.Record{ID: id, Dataset: formats.Contacts, Kind: formats.KindCard, Links: []formats.Link{{Rel: "group", Dataset: formats.Contacts, ID: "g"}, {Rel: "account", Dataset: formats.Other, ID: "7"}},
			Body: []byte(`{"version":"1.0","uid":"` + id + `","name":{"full":"` + id + `"}}`), Native: &formats.Native{Type: "x", Document: []byte(`{"kept":1}`)}})
	}
	at := "/dav/contacts/default/"
	group := s.want(200, "MEMBER", "GET", at+"g.vcf", "").body
	if strings.Count(group, "MEMBER") != 2 {
		t.Fatal(group)
	}
	links := func(id string) int {
		r, _, err := s.alice.Sight().Record(t.Context(), formats.Contacts, id)
		if err != nil {
			t.Fatal(err)
		}
		return len(r.Links)
	}
	s.want(204, "", "PUT", at+"ann.vcf", card("ann", "Ann"))
	if r, _, err := s.alice.Sight().Record(t.Context(), formats.Contacts, "ann"); err != nil || len(r.Links) != 2 || r.Native == nil {
		t.Errorf("what the client does not know of is lost: %+v, %v", r, err)
	}
	s.want(204, "", "PUT", at+"g.vcf", group)
	if links("ann") != 2 || links("bob") != 2 {
		t.Error("the same group lost members")
	}
	var without []string
	for _, l := range strings.SplitAfter(group, "\r\n") {
		if !strings.HasPrefix(l, "MEMBER") || !strings.Contains(l, "bob") {
			without = append(without, l)
		}
	}
	s.want(204, "", "PUT", at+"g.vcf", strings.Join(without, ""))
	if links("ann") != 2 || links("bob") != 1 {
		t.Errorf("ann has %d links, bob %d", links("ann"), links("bob"))
	}
	if after := s.want(200, "", "GET", at+"g.vcf", "").body; strings.Count(after, "MEMBER") != 1 {
		t.Error(after)
	}
}
