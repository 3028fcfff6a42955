package example

import (
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

func uid(id string) string {
	return fmt.Sprintf("urn:uuid:%s-%s-4%s-a%s-%s", id[:8], id[8:12], id[13:16], id[17:20], id[20:32])
}

func contactGroups() []string { return []string{"Famille", "Chorale", "Travail 💼"} }

// contacts makes the person's own card, those of others, and groups of them.
func (g *generator) contacts() {
	members := make([]formats.Set, len(contactGroups()))
	for n := range g.Contacts {
		g.contact(n, members)
	}
	for n, name := range contactGroups() {
		id := g.id("group", n)
		modified := moment(g.random("group", n), 300)
		g.put(formats.Record{
			ID: id, Dataset: formats.Contacts, Kind: formats.KindCard, Created: modified, Modified: modified,
			Body:   body(formats.Card{Version: "1.0", Kind: "group", UID: uid(id), Name: &formats.CardName{Full: name}, Members: members[n]}),
			Native: native("io.cozy.contacts.groups", map[string]any{"_id": id, "name": name}),
		})
	}
}

// contact makes the n-th card, and notes of which groups it is a member. The first card is the person's own.
func (g *generator) contact(n int, members []formats.Set) {
	r, h := g.random("contact", n), g.human("contact", n)
	if n == 0 {
		h = g.me
	}
	id, modified := g.id("contact", n), moment(r, 700)
	record := formats.Record{ID: id, Dataset: formats.Contacts, Kind: formats.KindCard, Created: modified.AddDate(-1, 0, 0), Modified: modified}
	phone, home, birth := mobile(r), landline(r), time.Date(1940+r.IntN(70), time.Month(1+r.IntN(12)), 1+r.IntN(28), 0, 0, 0, 0, time.UTC)
	street, postcode, town := fmt.Sprintf("%d rue %s", 1+r.IntN(90), pick(r, []string{"du Moulin", "de l'Église", "des Écoles", "Haute"})), fmt.Sprintf("%05d", 1000+r.IntN(94000)), pick(r, []string{"Vaugrenouille", "Saint-Exemple-sur-Loire", "Trifouillis-les-Oies"})
	groups := []any{}
	for i := range members {
		if (n+i)%5 == 0 {
			if members[i] == nil {
				members[i] = formats.Set{}
			}
			members[i][uid(id)] = true
			record.Links = append(record.Links, formats.Link{Rel: "group", Dataset: formats.Contacts, ID: g.id("group", i)})
			groups = append(groups, map[string]any{"_id": g.id("group", i), "_type": "io.cozy.contacts.groups"})
		}
	}
	card := formats.Card{
		Version: "1.0", UID: uid(id), Kind: "individual", Updated: modified.Truncate(time.Second).Format(time.RFC3339),
		Name:   &formats.CardName{Full: h.full(), Components: []formats.CardNameComponent{{Kind: "surname", Value: h.family}, {Kind: "given", Value: h.given}}},
		Emails: map[string]formats.CardEmail{"e1": {Address: h.mail(), Contexts: formats.SetOf("private"), Pref: 1}},
		Phones: map[string]formats.CardPhone{"p1": {Number: phone, Features: formats.SetOf("mobile"), Pref: 1}, "p2": {Number: home, Features: formats.SetOf("voice")}},
	}
	document := map[string]any{
		"_id": id, "fullname": h.full(), "displayName": h.full(), "name": map[string]any{"givenName": h.given, "familyName": h.family},
		"email":         []any{map[string]any{"address": h.mail(), "type": "home", "primary": true}},
		"phone":         []any{map[string]any{"number": phone, "type": "mobile", "primary": true}, map[string]any{"number": home, "type": "home"}},
		"relationships": map[string]any{"groups": map[string]any{"data": groups}}, "me": n == 0,
	}
	if n%3 != 2 {
		card.Addresses = map[string]formats.CardAddress{"a1": {
			Full: street + "\n" + postcode + " " + town, CountryCode: "FR", Contexts: formats.SetOf("private"),
			Components: []formats.CardAddressComponent{{Kind: "name", Value: street}, {Kind: "postcode", Value: postcode}, {Kind: "locality", Value: town}},
		}}
		document["address"] = []any{map[string]any{"street": street, "postcode": postcode, "city": town, "country": "France", "type": "home"}}
	}
	if n%2 == 0 {
		card.Anniversaries = map[string]formats.CardAnniversary{"b": {Kind: "birth", Date: &formats.CardDate{Year: birth.Year(), Month: int(birth.Month()), Day: birth.Day()}}}
		document["birthday"] = day(birth)
	}
	if n%4 == 1 {
		card.Notes = map[string]formats.CardNote{"n": {Note: "Aime les \"guillemets\", les virgules, les ; et\nles retours à la ligne \\ 🦊"}}
		document["note"] = card.Notes["n"].Note
	}
	record.Body, record.Native = body(card), native("io.cozy.contacts", document)
	g.put(record)
}

// calendar makes events as people have them: weekly, yearly, all day, in two time zones, moved, cancelled; and tasks.
func (g *generator) calendar() {
	type event = formats.Event
	events := []event{
		{Title: "Chorale", Start: "2025-09-02T20:00:00", Duration: "PT1H30M", TimeZone: "Europe/Paris",
			RecurrenceRules: []formats.RecurrenceRule{{Frequency: "weekly", ByDay: []formats.NDay{{Day: "tu"}}, Until: "2026-06-30T20:00:00"}},
			RecurrenceOverrides: map[string]formats.PatchObject{
				"2025-12-23T20:00:00": {"excluded": []byte("true")},
				"2026-01-06T20:00:00": {"start": []byte(`"2026-01-07T20:30:00"`), "title": []byte(`"Chorale (salle du haut)"`)},
			}},
		{Title: "Anniversaire de mamie 🎂", Start: "2025-05-17T00:00:00", Duration: "P1D", ShowWithoutTime: true,
			RecurrenceRules: []formats.RecurrenceRule{{Frequency: "yearly"}}, FreeBusyStatus: "free"},
		{Title: "Loyer", Start: "2025-05-31T00:00:00", Duration: "P1D", ShowWithoutTime: true,
			RecurrenceRules: []formats.RecurrenceRule{{Frequency: "monthly", ByMonthDay: []int{-1}}}},
		{Title: "Vacances en Bretagne", Start: "2025-07-12T00:00:00", Duration: "P14D", ShowWithoutTime: true,
			Locations: map[string]formats.CalendarLocation{"1": {Name: "Pointe du Raz", Coordinates: "geo:48.03970,-4.73920"}}},
		{Title: "Vol Paris – Montréal", Start: "2026-04-03T13:20:00", Duration: "PT7H45M", TimeZone: "Europe/Paris",
			Locations: map[string]formats.CalendarLocation{"a": {Name: "Paris", RelativeTo: "start", TimeZone: "Europe/Paris"}, "b": {Name: "Montréal", RelativeTo: "end", TimeZone: "America/Toronto"}}},
		{Title: "Visio avec Sydney", Start: "2026-10-25T09:00:00", Duration: "PT1H", TimeZone: "Australia/Sydney",
			VirtualLocations: map[string]formats.CalendarVirtualLocation{"1": {Name: "Visio", URI: "https://visio.example.org/salle", Features: formats.SetOf("video")}}},
		{Title: "Changement d'heure", Start: "2026-03-29T02:30:00", Duration: "PT1H", TimeZone: "Europe/Paris"},
		{Title: "Réveil", Start: "2026-01-05T07:00:00", Duration: "PT0S",
			RecurrenceRules: []formats.RecurrenceRule{{Frequency: "daily", Count: 30, Interval: 2}},
			Alerts:          map[string]formats.CalendarAlert{"1": {Trigger: &formats.CalendarTrigger{Offset: "-PT5M"}}}},
		{Title: "Dîner annulé", Start: "2026-02-14T20:00:00", Duration: "PT2H", TimeZone: "Europe/Paris", Status: "cancelled"},
	}
	for n := range g.Months {
		start := g.month(n).AddDate(0, 0, 9+n%7)
		events = append(events, event{
			Title: pick(g.random("event", n), []string{"Dentiste", "Médecin", "Contrôle technique", "Réunion de copropriété", "Déjeuner; avec, virgules"}),
			Start: start.Format(time.DateOnly) + "T10:30:00", Duration: "PT45M", TimeZone: "Europe/Paris", Privacy: "private",
			Participants: g.participants(n),
		})
	}
	for n, e := range events {
		id, modified := g.id("event", n), moment(g.random("event time", n), 300)
		e.UID, e.Updated = uid(id), modified.Truncate(time.Second).Format(time.RFC3339)
		e.Color = []string{"", "teal", "#c0ffee"}[n%3]
		g.put(formats.Record{ID: id, Dataset: formats.Calendar, Kind: formats.KindEvent, Created: modified, Modified: modified, Body: body(e)})
	}
	g.tasks()
}

func (g *generator) participants(n int) map[string]formats.CalendarParticipant {
	if n%3 != 0 {
		return nil
	}
	guest := g.human("contact", 1+n%(max(g.Contacts, 2)-1))
	person := func(h human, status string, roles ...string) formats.CalendarParticipant {
		return formats.CalendarParticipant{
			Name: h.full(), Email: h.mail(), SendTo: map[string]string{"imip": "mailto:" + h.mail()}, Kind: "individual",
			Roles: formats.SetOf(roles...), ParticipationStatus: status,
		}
	}
	return map[string]formats.CalendarParticipant{"1": person(g.me, "accepted", "owner", "attendee"), "2": person(guest, "tentative", "attendee")}
}

func (g *generator) tasks() {
	for n, title := range []string{"Rappeler le plombier", "Déclarer les impôts", "Semer les fèves"} {
		id, modified := g.id("task", n), moment(g.random("task", n), 200)
		t := formats.Task{UID: uid(id), Updated: modified.Truncate(time.Second).Format(time.RFC3339), Title: title, Priority: 1 + n}
		switch n {
		case 0:
			t.Progress, t.PercentComplete = "completed", 100
		case 1:
			t.Due, t.TimeZone = "2026-05-21T23:59:00", "Europe/Paris"
		}
		g.put(formats.Record{ID: id, Dataset: formats.Calendar, Kind: formats.KindTask, Created: modified, Modified: modified, Body: body(t)})
	}
}
