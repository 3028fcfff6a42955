package cozy

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

const groupKind = "group"

// nameParts are the members of a contact's name, and the kinds of component of RFC 9553 that they are.
var nameParts = [...]struct{ member, kind string }{
	{"namePrefix", "title"}, {"givenName", "given"}, {"additionalName", "given2"}, {"familyName", "surname"}, {"nameSuffix", "credential"},
}

// addressParts are the members of a postal address, and the kinds of component of RFC 9553 that they are. Of two
// members for one kind, the first is written.
var addressParts = [...]struct{ member, kind string }{
	{"number", "number"}, {"street", "name"}, {"pobox", "postOfficeBox"}, {"city", "locality"}, {"region", "region"},
	{"code", "postcode"}, {"postcode", "postcode"}, {"country", "country"},
}

// uidOf returns the uid of a contact or event: the one that it came with from elsewhere, or the document's id.
func uidOf(doc object) string {
	return cmp.Or(doc.text("uid"), doc.text("_id"))
}

func setUID(doc *object, uid string) {
	if uidOf(*doc) != uid {
		doc.setText("uid", uid)
	}
}

// keyed makes a map of a list, as JSContact has maps where others have lists: the keys are numbers.
func keyed[T any](list []T) map[string]T {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]T, len(list))
	for i, v := range list {
		m[strconv.Itoa(i+1)] = v
	}
	return m
}

// listed is the way back, in the order of the numbers.
func listed[T any](m map[string]T) []T {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	var list []T
	for _, k := range keys {
		list = append(list, m[k])
	}
	return list
}

func readContact(_ string, doc object, into *reading) error {
	card := formats.Card{UID: uidOf(doc), Name: contactName(doc), Updated: utc(into.modified), Created: utc(into.created)}
	var emails []formats.CardEmail
	for _, raw := range elements(doc.get("email")) {
		e := objectOf(raw)
		contexts, label := contextOf(e)
		emails = append(emails, formats.CardEmail{Address: e.text("address"), Contexts: contexts, Label: label, Pref: prefOf(e)})
	}
	var phones []formats.CardPhone
	for _, raw := range elements(doc.get("phone")) {
		p := objectOf(raw)
		contexts, label := contextOf(p)
		phones = append(phones, formats.CardPhone{
			Number: p.digits("number"), Features: featuresOf(p), Contexts: contexts, Label: label, Pref: prefOf(p),
		})
	}
	var services []formats.CardOnlineService
	for _, raw := range elements(doc.get("cozy")) {
		c := objectOf(raw)
		services = append(services, formats.CardOnlineService{Service: "Cozy", URI: c.text("url"), Label: c.text("label"), Pref: prefOf(c)})
	}
	card.Emails, card.Phones, card.OnlineServices = keyed(emails), keyed(phones), keyed(services)
	card.Addresses = keyed(contactAddresses(doc))
	if company := doc.text("company"); company != "" {
		card.Organizations = keyed([]formats.CardOrganization{{Name: company}})
	}
	if title := doc.text("jobTitle"); title != "" {
		card.Titles = keyed([]formats.CardTitle{{Name: title}})
	}
	if note := doc.text("note"); note != "" {
		card.Notes = keyed([]formats.CardNote{{Note: note}})
	}
	if date := cardDate(doc.text("birthday")); date != nil {
		card.Anniversaries = keyed([]formats.CardAnniversary{{Kind: "birth", Date: date}})
	}
	return into.setBody(card)
}

// utc writes a time as JSContact and JSCalendar do, to the second.
func utc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

func contactName(doc object) *formats.CardName {
	name := formats.CardName{Full: cmp.Or(doc.text("fullname"), doc.text("displayName"))}
	parts := doc.object("name")
	for _, p := range nameParts {
		if value := parts.text(p.member); value != "" {
			name.Components = append(name.Components, formats.CardNameComponent{Kind: p.kind, Value: value})
		}
	}
	if name.Full == "" && name.Components == nil {
		return nil
	}
	return &name
}

// contextOf tells work and home from the labels that people make up. Older contacts say it in "type", newer in "label".
func contextOf(o object) (formats.Set, string) {
	var contexts formats.Set
	label := ""
	for _, word := range []string{o.text("label"), o.text("type")} {
		switch strings.ToLower(word) {
		case "work", "pro":
			contexts = formats.SetOf("work")
		case "home", "personal":
			contexts = formats.SetOf("private")
		case "", "cell", "mobile", "fax", "voice", "pager", "other":
		default:
			label = cmp.Or(label, word)
		}
	}
	return contexts, label
}

func featuresOf(o object) formats.Set {
	for _, word := range []string{o.text("type"), o.text("label")} {
		switch strings.ToLower(word) {
		case "cell", "mobile":
			return formats.SetOf("mobile")
		case "fax", "voice", "pager":
			return formats.SetOf(strings.ToLower(word))
		}
	}
	return nil
}

func prefOf(o object) int {
	if o.is("primary") {
		return 1
	}
	return 0
}

func contactAddresses(doc object) []formats.CardAddress {
	var list []formats.CardAddress
	for _, raw := range elements(doc.get("address")) {
		a := objectOf(raw)
		contexts, _ := contextOf(a)
		address := formats.CardAddress{Full: a.text("formattedAddress"), Contexts: contexts, Pref: prefOf(a)}
		seen := map[string]bool{}
		for _, p := range addressParts {
			if value := a.digits(p.member); value != "" && !seen[p.kind] {
				seen[p.kind] = true
				address.Components = append(address.Components, formats.CardAddressComponent{Kind: p.kind, Value: value})
			}
		}
		list = append(list, address)
	}
	return list
}

func cardDate(s string) *formats.CardDate {
	t, err := time.Parse(time.DateOnly, day(s))
	if err != nil {
		return nil
	}
	return &formats.CardDate{Year: t.Year(), Month: int(t.Month()), Day: t.Day()}
}

func fillContact(doctype string, doc *object, body json.RawMessage) error {
	want, err := decode[formats.Card](body)
	if err != nil {
		return err
	}
	got, err := asCard(doctype, *doc)
	if err != nil {
		return err
	}
	setUID(doc, want.UID)
	if !same(want.Name, got.Name) {
		setContactName(doc, want.Name)
	}
	if !same(want.Emails, got.Emails) {
		setList(doc, "email", want.Emails, emailObject)
	}
	if !same(want.Phones, got.Phones) {
		setList(doc, "phone", want.Phones, phoneObject)
	}
	if !same(want.Addresses, got.Addresses) {
		setList(doc, "address", want.Addresses, addressObject)
	}
	if !same(want.OnlineServices, got.OnlineServices) {
		setCozys(doc, want.OnlineServices)
	}
	fillContactTexts(doc, want, got)
	return nil
}

// asCard reads a contact as the card that its body is.
func asCard(doctype string, doc object) (formats.Card, error) {
	var r reading
	r.created, r.modified = times(doc)
	if err := readContact(doctype, doc, &r); err != nil {
		return formats.Card{}, err
	}
	return decode[formats.Card](r.body)
}

// same compares two parts of a card by what they say in JSON.
func same(a, b any) bool {
	x, err := formats.MarshalBody(a)
	if err != nil {
		return false
	}
	y, err := formats.MarshalBody(b)
	return err == nil && sameJSON(x, y)
}

// fillContactTexts writes those parts of a card of which a contact has one: the first of each.
func fillContactTexts(doc *object, want, got formats.Card) {
	var company, title, note, birthday string
	for _, o := range listed(want.Organizations) {
		company = cmp.Or(company, o.Name)
	}
	for _, t := range listed(want.Titles) {
		title = cmp.Or(title, t.Name)
	}
	for _, n := range listed(want.Notes) {
		note = cmp.Or(note, n.Note)
	}
	for _, a := range listed(want.Anniversaries) {
		if d := a.Date; a.Kind == "birth" && d != nil && d.Year > 0 && d.Month > 0 && d.Day > 0 {
			birthday = cmp.Or(birthday, time.Date(d.Year, time.Month(d.Month), d.Day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly))
		}
	}
	doc.setText("company", company)
	doc.setText("jobTitle", title)
	doc.setText("note", note)
	if !same(want.Anniversaries, got.Anniversaries) {
		doc.setText("birthday", birthday)
	}
}

func setContactName(doc *object, name *formats.CardName) {
	if name == nil {
		name = &formats.CardName{}
	}
	var parts object
	var full []string
	for _, c := range name.Components {
		for _, p := range nameParts {
			if c.Kind == p.kind && c.Value != "" {
				parts.setText(p.member, strings.TrimSpace(parts.text(p.member)+" "+c.Value))
				full = append(full, c.Value)
			}
		}
	}
	shown := cmp.Or(name.Full, strings.Join(full, " "))
	doc.setText("fullname", shown)
	doc.setText("displayName", shown)
	doc.setObject("name", parts)
}

func setList[T any](doc *object, member string, m map[string]T, write func(T) object) {
	var list []json.RawMessage
	for _, v := range listed(m) {
		o := write(v)
		list = append(list, o.bytes())
	}
	if doc.remove(member); list != nil {
		doc.set(member, joined(list))
	}
}

// labelled makes an object with what emails, phones and addresses have in common.
func labelled(contexts formats.Set, label string, pref int) object {
	var o object
	switch {
	case contexts["work"]:
		o.setText("type", "work")
	case contexts["private"]:
		o.setText("type", "home")
	}
	o.setText("label", label)
	o.setBool("primary", pref == 1)
	return o
}

func emailObject(e formats.CardEmail) object {
	o := labelled(e.Contexts, e.Label, e.Pref)
	o.setText("address", e.Address)
	return o
}

func phoneObject(p formats.CardPhone) object {
	o := labelled(p.Contexts, p.Label, p.Pref)
	o.setText("number", p.Number)
	for _, feature := range []struct{ name, word string }{{"mobile", "cell"}, {"fax", "fax"}, {"pager", "pager"}} {
		if p.Features[feature.name] && o.text("type") == "" {
			o.setText("type", feature.word)
		}
	}
	return o
}

func addressObject(a formats.CardAddress) object {
	o := labelled(a.Contexts, "", a.Pref)
	for _, c := range a.Components {
		for _, p := range addressParts {
			if p.kind == c.Kind {
				o.setText(p.member, strings.TrimSpace(o.text(p.member)+" "+c.Value))
				break
			}
		}
	}
	o.setText("formattedAddress", a.Full)
	return o
}

func setCozys(doc *object, services map[string]formats.CardOnlineService) {
	var list []json.RawMessage
	for _, s := range listed(services) {
		if s.Service == "Cozy" && s.URI != "" {
			var o object
			o.setText("url", s.URI)
			o.setText("label", s.Label)
			o.setBool("primary", s.Pref == 1)
			list = append(list, o.bytes())
		}
	}
	if doc.remove("cozy"); list != nil {
		doc.set("cozy", joined(list))
	}
}

func readGroup(_ string, doc object, into *reading) error {
	card := formats.Card{UID: uidOf(doc), Kind: groupKind, Updated: utc(into.modified), Created: utc(into.created)}
	if name := doc.text("name"); name != "" {
		card.Name = &formats.CardName{Full: name}
	}
	return into.setBody(card)
}

func fillGroup(_ string, doc *object, body json.RawMessage) error {
	card, err := decode[formats.Card](body)
	if err != nil {
		return err
	}
	setUID(doc, card.UID)
	if card.Name != nil {
		doc.setText("name", card.Name.Full)
	} else {
		doc.remove("name")
	}
	return nil
}
