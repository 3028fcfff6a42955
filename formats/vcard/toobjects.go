package vcard

import (
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

func (d *decoded) name(p *property) bool {
	if d.card.Name == nil {
		d.card.Name = &formats.CardName{}
	}
	name := d.card.Name
	if p.name == "FN" {
		if strings.EqualFold(p.param("derived"), "true") {
			return true
		}
		if name.Full != "" {
			return false
		}
		name.Full = unescape(p.value)
		p.takeDefault("value", "text")
		d.spare(p)
		return true
	}
	fields := parseFields(p.value)
	if name.Components != nil || len(fields) > len(nameSlots) {
		return false
	}
	// Programs that know five fields find the second surname and the generation there too (RFC 9554 section 2.2).
	withoutRepeats(fields, 0, 5)
	withoutRepeats(fields, 4, 6)
	parts := unfill(nameSlots, fields)
	if order := p.param("jscomps"); order != "" {
		if ordered, separator, ok := parseOrder(order, nameSlots, fields); ok {
			parts, name.DefaultSeparator, name.IsOrdered = ordered, separator, true
			p.take("jscomps")
		}
	}
	for _, part := range parts {
		name.Components = append(name.Components, formats.CardNameComponent{Kind: part.kind, Value: part.value})
	}
	d.sortAs(p)
	d.spare(p)
	return true
}

func withoutRepeats(fields [][]string, in, of int) {
	if len(fields) > of {
		fields[in] = slices.DeleteFunc(fields[in], func(v string) bool { return slices.Contains(fields[of], v) })
	}
}

// sortAs takes SORT-AS: the surname, then the given name.
func (d *decoded) sortAs(p *property) {
	values := sortList(p)
	if len(values) == 0 || len(values) > 2 {
		return
	}
	p.take("sort-as")
	d.card.Name.SortAs = map[string]string{}
	for i, v := range values {
		if v != "" {
			d.card.Name.SortAs[nameSlots[i]] = v
		}
	}
}

func sortList(p *property) []string {
	var out []string
	for _, v := range p.params["sort-as"] {
		out = append(out, split(v, ',')...)
	}
	for i := range out {
		out[i] = unescape(out[i])
	}
	return out
}

// takeDefault takes a parameter that says what is so anyway.
func (p *property) takeDefault(name, value string) {
	if strings.EqualFold(p.param(name), value) {
		p.take(name)
	}
}

// naming reads what somebody is called.
func (d *decoded) naming(p *property) bool {
	c := &d.card
	p.takeDefault("value", "text")
	switch p.name {
	case "NICKNAME":
		for _, name := range texts(p.value) {
			q := p.clone()
			id := nextID(c.Nicknames, &q)
			put(&c.Nicknames, id, formats.CardNickname{Name: name, Contexts: contexts(&q, contextOf), Pref: pref(&q), VCardParams: rest(&q)})
		}
	case "ORG":
		id := nextID(c.Organizations, p)
		put(&c.Organizations, id, organization(p))
	case "TITLE", "ROLE":
		id, kind := nextID(c.Titles, p), ""
		if p.name == "ROLE" {
			kind = "role"
		}
		put(&c.Titles, id, formats.CardTitle{Name: unescape(p.value), Kind: kind, VCardParams: rest(p)})
	case "PRONOUNS":
		s := d.speakToAs()
		id := nextID(s.Pronouns, p)
		put(&s.Pronouns, id, formats.CardPronouns{Pronouns: unescape(p.value), Contexts: contexts(p, contextOf), Pref: pref(p), VCardParams: rest(p)})
	}
	return true
}

func organization(p *property) formats.CardOrganization {
	var org formats.CardOrganization
	names := split(p.value, ';')
	sort := sortList(p)
	if len(sort) <= len(names) {
		p.take("sort-as")
	} else {
		sort = nil
	}
	sortAs := func(i int) string {
		if i < len(sort) {
			return sort[i]
		}
		return ""
	}
	for i, name := range names {
		switch {
		case i == 0:
			org.Name, org.SortAs = unescape(name), sortAs(0)
		case name != "":
			org.Units = append(org.Units, formats.CardOrgUnit{Name: unescape(name), SortAs: sortAs(i)})
		}
	}
	org.Contexts = contexts(p, contextOf)
	org.VCardParams = rest(p)
	return org
}

// reaching reads how somebody is reached.
func (d *decoded) reaching(p *property) bool {
	c := &d.card
	switch p.name {
	case "EMAIL":
		p.takeDefault("value", "text")
		id := nextID(c.Emails, p)
		put(&c.Emails, id, formats.CardEmail{Address: unescape(p.value), Contexts: contexts(p, contextOf), Pref: pref(p), Label: d.label(p), VCardParams: rest(p)})
	case "TEL":
		id := nextID(c.Phones, p)
		put(&c.Phones, id, d.phone(p))
	case "IMPP", "SOCIALPROFILE":
		id := nextID(c.OnlineServices, p)
		put(&c.OnlineServices, id, d.onlineService(p))
	case "LANG":
		p.takeDefault("value", "language-tag")
		id := nextID(c.PreferredLanguages, p)
		put(&c.PreferredLanguages, id, formats.CardLanguage{Language: unescape(p.value), Contexts: contexts(p, contextOf), Pref: pref(p), VCardParams: rest(p)})
	case "CALADRURI":
		p.takeDefault("value", "uri")
		id := nextID(c.SchedulingAddresses, p)
		put(&c.SchedulingAddresses, id, formats.CardSchedulingAddress{URI: p.value, Contexts: contexts(p, contextOf), Pref: pref(p), Label: d.label(p), VCardParams: rest(p)})
	}
	return true
}

func (d *decoded) phone(p *property) formats.CardPhone {
	number := p.value
	if !strings.EqualFold(p.param("value"), "uri") {
		p.takeDefault("value", "text")
		number = unescape(number)
	} else if uriForm.MatchString(number) {
		p.take("value")
	}
	return formats.CardPhone{
		Number: number, Features: contexts(p, featureOf), Contexts: contexts(p, contextOf), Pref: pref(p),
		Label: d.label(p), VCardParams: rest(p),
	}
}

func (d *decoded) onlineService(p *property) formats.CardOnlineService {
	s := formats.CardOnlineService{Service: p.take("service-type"), User: p.take("username")}
	if p.name == "IMPP" {
		s.VCardName = "impp"
	}
	if strings.EqualFold(p.param("value"), "text") && s.User == "" {
		p.take("value")
		s.User = unescape(p.value)
	} else {
		p.takeDefault("value", "uri")
		s.URI = p.value
	}
	s.Contexts, s.Pref, s.Label = contexts(p, contextOf), pref(p), d.label(p)
	s.VCardParams = rest(p)
	return s
}

func (d *decoded) address(p *property) bool {
	c := &d.card
	var a formats.CardAddress
	switch p.name {
	case "GEO":
		if !strings.HasPrefix(strings.ToLower(p.value), "geo:") {
			return false
		}
		p.takeDefault("value", "uri")
		a.Coordinates = p.value
	case "TZ":
		if a.TimeZone = parseZone(unescape(p.value)); a.TimeZone == "" {
			return false
		}
		p.take("value")
	default:
		if !readADR(&a, p) {
			return false
		}
	}
	id := nextID(c.Addresses, p)
	a.Contexts, a.Pref = contexts(p, addressContextOf), pref(p)
	a.VCardParams = rest(p)
	put(&c.Addresses, id, a)
	return true
}

// readADR reads the fields of an address. It returns false where they say something else in the fields that
// RFC 9554 added than in the seven of old.
func readADR(a *formats.CardAddress, p *property) bool {
	fields, slots := parseFields(p.value), classicSlots
	if len(fields) > len(addressSlots) {
		return false
	}
	for len(fields) < len(classicSlots) {
		fields = append(fields, nil)
	}
	if slices.ContainsFunc(fields[7:], func(f []string) bool { return len(f) > 0 }) {
		slots = addressSlots
		old := oldFields(unfill(slots, fields))
		if !slices.Equal(fields[1], old[1]) || !slices.Equal(fields[2], old[2]) {
			return false
		}
	}
	parts := unfill(slots, fields)
	if order := p.param("jscomps"); order != "" {
		if ordered, separator, ok := parseOrder(order, slots, fields); ok {
			parts, a.DefaultSeparator, a.IsOrdered = ordered, separator, true
			p.take("jscomps")
		}
	}
	for _, part := range parts {
		a.Components = append(a.Components, formats.CardAddressComponent{Kind: part.kind, Value: part.value})
	}
	p.takeDefault("value", "text")
	a.Full, a.CountryCode, a.Coordinates, a.TimeZone = p.take("label"), p.take("cc"), p.take("geo"), p.take("tz")
	return true
}

// oldFields returns what an address of these parts has in the fields "extended address" and "street address", for
// programs that know no other (RFC 9554 section 2.1).
func oldFields(parts []part) [3][]string {
	var old [3][]string
	var street []string
	for _, p := range parts {
		switch p.kind {
		case "room", "apartment", "floor", "building":
			old[1] = append(old[1], p.value)
		case "number", "name", "block", "direction", "landmark", "subdistrict", "district":
			street = append(street, p.value)
		}
	}
	if len(street) > 0 {
		old[2] = []string{strings.Join(street, " ")}
	}
	return old
}

func (d *decoded) anniversary(p *property) bool {
	kind := map[string]string{"BDAY": "birth", "DEATHDATE": "death", "ANNIVERSARY": "wedding"}[p.name]
	date := parseDate(p.value)
	if date == nil || strings.EqualFold(p.param("value"), "text") {
		return false
	}
	p.take("value")
	// Apple writes a birthday without a year as one in a year that it names.
	if omitted := p.param("x-apple-omit-year"); omitted != "" && strings.HasPrefix(p.value, omitted) && date.Month > 0 {
		date.Year = 0
		p.take("x-apple-omit-year")
	}
	if scale := p.take("calscale"); date.UTC == "" {
		date.CalendarScale = scale
	} else if scale != "" {
		return false
	}
	id := nextID(d.card.Anniversaries, p)
	put(&d.card.Anniversaries, id, formats.CardAnniversary{Kind: kind, Date: date, VCardParams: rest(p)})
	return true
}

// place gives the place of a birth or a death to that anniversary.
func (d *decoded) place(p property) bool {
	kind := map[string]string{"BIRTHPLACE": "birth", "DEATHPLACE": "death"}[p.name]
	id, ok := firstOfKind(&d.card, kind)
	own := p.clone()
	uri := strings.EqualFold(own.take("value"), "uri")
	if !ok || rest(&own) != nil || d.card.Anniversaries[id].Place != nil || uri && !strings.HasPrefix(p.value, "geo:") {
		return false
	}
	a := d.card.Anniversaries[id]
	a.Place = &formats.CardAddress{Full: unescape(p.value)}
	if uri {
		a.Place = &formats.CardAddress{Coordinates: p.value}
	}
	d.card.Anniversaries[id] = a
	return true
}

// firstOfKind returns the id of the first birth or death.
func firstOfKind(c *formats.Card, kind string) (string, bool) {
	for _, id := range ids(c.Anniversaries) {
		if c.Anniversaries[id].Kind == kind {
			return id, true
		}
	}
	return "", false
}

func (d *decoded) note(p *property) bool {
	n := formats.CardNote{Note: unescape(p.value)}
	p.takeDefault("value", "text")
	if name, uri := p.take("author-name"), p.take("author"); name != "" || uri != "" {
		n.Author = &formats.CardAuthor{Name: name, URI: uri}
	}
	if t, ok := parseTimestamp(p.param("created")); ok {
		p.take("created")
		n.Created = t.Format("2006-01-02T15:04:05Z")
	}
	id := nextID(d.card.Notes, p)
	n.VCardParams = rest(p)
	put(&d.card.Notes, id, n)
	return true
}

func (d *decoded) personal(p *property) bool {
	info := formats.CardPersonalInfo{Kind: strings.ToLower(p.name), Value: unescape(p.value)}
	p.takeDefault("value", "text")
	level := strings.ToLower(p.param("level"))
	if p.name == "EXPERTISE" {
		level = levels[level]
	}
	switch level {
	case "high", "medium", "low":
		info.Level = level
		p.take("level")
	}
	info.ListAs, info.Label = number(p, "index", 1<<31-1), d.label(p)
	id := nextID(d.card.PersonalInfo, p)
	info.VCardParams = rest(p)
	put(&d.card.PersonalInfo, id, info)
	return true
}

// resource reads what a URI leads to.
func (d *decoded) resource(p *property) bool {
	m, kind := resources(&d.card, p.name)
	if m == nil || p.param("value") != "" && !strings.EqualFold(p.param("value"), "uri") {
		return false
	}
	p.take("value")
	id := nextID(*m, p)
	r := formats.CardResource{Kind: kind, URI: p.value, MediaType: p.take("mediatype"), Contexts: contexts(p, contextOf), Pref: pref(p), Label: d.label(p)}
	if p.name == "ORG-DIRECTORY" || p.name == "SOURCE" {
		r.ListAs = number(p, "index", 1<<31-1)
	}
	r.VCardParams = rest(p)
	put(m, id, r)
	return true
}

// resources returns the map that a property's resource is in, and its kind there; nil if it is none.
func resources(c *formats.Card, property string) (m *map[string]formats.CardResource, kind string) {
	switch property {
	case "PHOTO", "LOGO", "SOUND":
		return &c.Media, strings.ToLower(property)
	case "KEY":
		return &c.CryptoKeys, ""
	case "URL":
		return &c.Links, ""
	case "CONTACT-URI":
		return &c.Links, "contact"
	case "SOURCE":
		return &c.Directories, "entry"
	case "ORG-DIRECTORY":
		return &c.Directories, "directory"
	case "CALURI":
		return &c.Calendars, "calendar"
	case "FBURL":
		return &c.Calendars, "freeBusy"
	}
	return nil, ""
}
