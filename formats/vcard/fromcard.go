package vcard

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// encoder collects the properties that say what a card says.
type encoder struct {
	props  []property
	groups map[string]bool // names that are taken
	items  int
}

// encode collects the properties of a card but its members, see [book.links], and those that vCardProps keeps, see
// [encoder.merge]. Of what vCard cannot say, it says as much as it can: what is then missing or different is found by
// comparing, see [book.missing].
func encode(c *formats.Card) *encoder {
	e := &encoder{groups: takenGroups(c)}
	e.identity(c)
	e.name(c)
	e.naming(c)
	e.reaching(c)
	e.addresses(c)
	e.anniversaries(c)
	e.resources(c)
	e.words(c)
	return e
}

// ids returns the ids of a map, numbers first and by their value.
func ids[T any](m map[string]T) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		n, errA := strconv.Atoi(a)
		k, errB := strconv.Atoi(b)
		switch {
		case errA == nil && errB == nil && n != k:
			return cmp.Compare(n, k)
		case (errA == nil) != (errB == nil):
			return cmp.Compare(boolInt(errB == nil), boolInt(errA == nil))
		}
		return cmp.Compare(a, b)
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// add adds a property with the parameters that vCardParams keeps for it, and returns it to be completed.
func (e *encoder) add(name, value string, kept formats.Params) *property {
	p := property{name: name, value: value, params: formats.Params{}}
	for param, values := range kept {
		if len(values) > 0 && token.MatchString(param) && !framing(param) {
			p.params[strings.ToLower(param)] = slices.Clone(values)
		}
	}
	if g := p.take("group"); groupName.MatchString(g) {
		p.group = g
	}
	e.props = append(e.props, p)
	return &e.props[len(e.props)-1]
}

// object adds the property of the nth object of a map, from 0.
func (e *encoder) object(n int, id, name, value string, kept formats.Params) *property {
	p := e.add(name, value, kept)
	if id != strconv.Itoa(n+1) {
		p.set("prop-id", id)
	}
	return p
}

func (p *property) types(types ...string) *property {
	if len(types) > 0 {
		p.params["type"] = append(types, p.params["type"]...)
	}
	return p
}

func (p *property) prefer(pref int) *property {
	if pref != 0 {
		p.set("pref", strconv.Itoa(pref))
	}
	return p
}

// typed says of which type a value is, where that is not what the property has by default.
func (p *property) typed(value, byDefault string) *property {
	switch {
	case p.param("value") != "": // kept from where the property came
	case uriForm.MatchString(value):
		p.value = value
		if byDefault != "uri" {
			p.set("value", "uri")
		}
	default:
		p.value = escape(value)
		if byDefault != "text" {
			p.set("value", "text")
		}
	}
	return p
}

// label gives a property a label: X-ABLabel in a group of their own (RFC 9555 section 2.3.1).
func (e *encoder) label(p *property, label string) {
	if label == "" {
		return
	}
	value := escape(label)
	if raw := p.take("x-ablabel"); raw == "_$!<"+label+">!$_" {
		value = escape(raw)
	}
	for p.group == "" {
		e.items++
		if name := "item" + strconv.Itoa(e.items); !e.groups[name] {
			p.group = name
		}
	}
	e.add("X-ABLABEL", value, formats.Params{"group": {p.group}})
}

// takenGroups lists the names of groups that the card uses for something else than labels.
func takenGroups(c *formats.Card) map[string]bool {
	taken := map[string]bool{}
	note := func(params formats.Params) {
		for _, g := range params["group"] {
			taken[g] = true
		}
	}
	for _, p := range c.VCardProps {
		note(p.Params)
	}
	for _, v := range c.Phones {
		note(v.VCardParams)
	}
	for _, v := range c.Emails {
		note(v.VCardParams)
	}
	for _, v := range c.Addresses {
		note(v.VCardParams)
	}
	for _, v := range c.OnlineServices {
		note(v.VCardParams)
	}
	for _, m := range []map[string]formats.CardResource{c.Links, c.Media, c.CryptoKeys, c.Directories, c.Calendars} {
		for _, v := range m {
			note(v.VCardParams)
		}
	}
	return taken
}

func (e *encoder) identity(c *formats.Card) {
	if c.UID != "" {
		p := e.add("UID", c.UID, nil)
		if !isPlainURI(c.UID) && (strings.ContainsAny(c.UID, `\,;`) || strings.TrimSpace(c.UID) == "") {
			p.value = escape(c.UID)
			p.set("value", "text")
		}
	}
	for _, single := range []struct{ name, value string }{
		{"KIND", c.Kind}, {"PRODID", c.ProdID}, {"LANGUAGE", c.Language},
	} {
		if single.value != "" {
			e.add(single.name, escape(single.value), nil)
		}
	}
	for _, at := range []struct{ name, value string }{{"CREATED", c.Created}, {"REV", c.Updated}} {
		if t, ok := parseTimestamp(at.value); ok {
			e.add(at.name, t.Format(basicTime), nil)
		}
	}
}

func (e *encoder) name(c *formats.Card) {
	name := c.Name
	if name == nil {
		name = &formats.CardName{}
	}
	if name.Full != "" {
		e.add("FN", escape(name.Full), nil)
	} else {
		e.add("FN", escape(derivedName(c)), formats.Params{"derived": {"true"}})
	}
	if len(name.Components) == 0 {
		return
	}
	var parts []part
	for _, c := range name.Components {
		parts = append(parts, part{c.Kind, c.Value})
	}
	fields := fill(nameSlots, parts)
	fields[0] = append(fields[0], fields[5]...)
	fields[4] = append(fields[4], fields[6]...)
	p := e.add("N", formatFields(fields, 5), nil)
	if name.IsOrdered {
		p.set("jscomps", formatOrder(nameSlots, parts, name.DefaultSeparator))
	}
	surname, given := name.SortAs["surname"], name.SortAs["given"]
	if surname != "" || given != "" {
		p.set("sort-as", strings.TrimSuffix(joinTexts([]string{surname, given}), ","))
	}
}

// derivedName returns a name for a card that has none in full: vCard obliges every card to have one.
func derivedName(c *formats.Card) string {
	if c.Name != nil {
		var words []string
		for _, kind := range []string{"title", "given", "given2", "surname", "surname2", "credential", "generation"} {
			for _, part := range c.Name.Components {
				if part.Kind == kind && part.Value != "" {
					words = append(words, part.Value)
				}
			}
		}
		if len(words) > 0 {
			return strings.Join(words, " ")
		}
	}
	for _, id := range ids(c.Nicknames) {
		return c.Nicknames[id].Name
	}
	for _, id := range ids(c.Organizations) {
		return c.Organizations[id].Name
	}
	for _, id := range ids(c.Emails) {
		return c.Emails[id].Address
	}
	for _, id := range ids(c.Phones) {
		return c.Phones[id].Number
	}
	return ""
}

func (e *encoder) naming(c *formats.Card) {
	for n, id := range ids(c.Nicknames) {
		v := c.Nicknames[id]
		e.object(n, id, "NICKNAME", escape(v.Name), v.VCardParams).types(contextTypes(v.Contexts)...).prefer(v.Pref)
	}
	for n, id := range ids(c.Organizations) {
		e.organization(n, id, c.Organizations[id])
	}
	for n, id := range ids(c.Titles) {
		v, name := c.Titles[id], "TITLE"
		if v.Kind == "role" {
			name = "ROLE"
		}
		e.object(n, id, name, escape(v.Name), v.VCardParams)
	}
	if s := c.SpeakToAs; s != nil {
		if s.GrammaticalGender != "" {
			e.add("GRAMGENDER", escape(s.GrammaticalGender), nil)
		}
		for n, id := range ids(s.Pronouns) {
			v := s.Pronouns[id]
			e.object(n, id, "PRONOUNS", escape(v.Pronouns), v.VCardParams).types(contextTypes(v.Contexts)...).prefer(v.Pref)
		}
	}
}

func (e *encoder) organization(n int, id string, v formats.CardOrganization) {
	names, sort := []string{escape(v.Name)}, []string{v.SortAs}
	for _, u := range v.Units {
		names = append(names, escape(u.Name))
		sort = append(sort, u.SortAs)
	}
	p := e.object(n, id, "ORG", strings.Join(names, ";"), v.VCardParams).types(contextTypes(v.Contexts)...)
	for len(sort) > 0 && sort[len(sort)-1] == "" {
		sort = sort[:len(sort)-1]
	}
	if len(sort) > 0 {
		p.set("sort-as", joinTexts(sort))
	}
}

func (e *encoder) reaching(c *formats.Card) {
	for n, id := range ids(c.Emails) {
		v := c.Emails[id]
		p := e.object(n, id, "EMAIL", escape(v.Address), v.VCardParams).types(contextTypes(v.Contexts)...).prefer(v.Pref)
		e.label(p, v.Label)
	}
	for n, id := range ids(c.Phones) {
		v := c.Phones[id]
		p := e.object(n, id, "TEL", v.Number, v.VCardParams).typed(v.Number, "text").prefer(v.Pref)
		e.label(p.types(append(contextTypes(v.Contexts), featureTypes(v.Features)...)...), v.Label)
	}
	for n, id := range ids(c.OnlineServices) {
		e.onlineService(n, id, c.OnlineServices[id])
	}
	for n, id := range ids(c.PreferredLanguages) {
		v := c.PreferredLanguages[id]
		e.object(n, id, "LANG", escape(v.Language), v.VCardParams).types(contextTypes(v.Contexts)...).prefer(v.Pref)
	}
	for n, id := range ids(c.SchedulingAddresses) {
		v := c.SchedulingAddresses[id]
		p := e.object(n, id, "CALADRURI", v.URI, v.VCardParams).types(contextTypes(v.Contexts)...).prefer(v.Pref)
		e.label(p, v.Label)
	}
}

func (e *encoder) onlineService(n int, id string, v formats.CardOnlineService) {
	name := "SOCIALPROFILE"
	if strings.EqualFold(v.VCardName, "impp") {
		name = "IMPP"
	}
	p := e.object(n, id, name, v.URI, v.VCardParams).types(contextTypes(v.Contexts)...).prefer(v.Pref)
	p.set("service-type", v.Service)
	if v.URI == "" {
		p.value = escape(v.User)
		p.set("value", "text")
	} else {
		p.set("username", v.User)
	}
	e.label(p, v.Label)
}

func (e *encoder) addresses(c *formats.Card) {
	for n, id := range ids(c.Addresses) {
		v := c.Addresses[id]
		e.address(n, id, v).types(contextTypes(v.Contexts)...).prefer(v.Pref)
	}
}

func (e *encoder) address(n int, id string, v formats.CardAddress) *property {
	if v.Full == "" && len(v.Components) == 0 && v.CountryCode == "" {
		switch {
		case v.Coordinates != "" && v.TimeZone == "":
			return e.object(n, id, "GEO", v.Coordinates, v.VCardParams)
		case v.TimeZone != "" && v.Coordinates == "":
			value, offset := formatZone(v.TimeZone)
			p := e.object(n, id, "TZ", value, v.VCardParams)
			if offset {
				p.set("value", "utc-offset")
			}
			return p
		}
	}
	var parts []part
	slots := classicSlots
	for _, c := range v.Components {
		parts = append(parts, part{c.Kind, c.Value})
		if c.Kind != "separator" && !slices.Contains(classicSlots, c.Kind) {
			slots = addressSlots
		}
	}
	fields := fill(slots, parts)
	if len(slots) > len(classicSlots) {
		old := oldFields(unfill(slots, fields))
		fields[1], fields[2] = old[1], old[2]
	}
	p := e.object(n, id, "ADR", formatFields(fields, 7), v.VCardParams)
	p.set("label", v.Full)
	p.set("cc", v.CountryCode)
	p.set("geo", v.Coordinates)
	p.set("tz", v.TimeZone)
	if v.IsOrdered {
		p.set("jscomps", formatOrder(slots, parts, v.DefaultSeparator))
	}
	return p
}

func (e *encoder) anniversaries(c *formats.Card) {
	for n, id := range ids(c.Anniversaries) {
		v := c.Anniversaries[id]
		name := map[string]string{"birth": "BDAY", "death": "DEATHDATE", "wedding": "ANNIVERSARY"}[v.Kind]
		if v.Date == nil || name == "" {
			continue
		}
		if date, ok := formatDate(v.Date); ok {
			e.object(n, id, name, date, v.VCardParams).set("calscale", v.Date.CalendarScale)
		}
	}
	for _, at := range [][2]string{{"birth", "BIRTHPLACE"}, {"death", "DEATHPLACE"}} {
		name := at[1]
		id, ok := firstOfKind(c, at[0])
		if !ok || c.Anniversaries[id].Place == nil {
			continue
		}
		if place := c.Anniversaries[id].Place; place.Full != "" {
			e.add(name, escape(place.Full), nil)
		} else if place.Coordinates != "" {
			e.add(name, place.Coordinates, nil).set("value", "uri")
		}
	}
}

// resourceNames are the properties of the kinds of resources; a resource of another kind is written as the first.
var resourceNames = []struct {
	names []string
	of    func(*formats.Card) map[string]formats.CardResource
}{
	{[]string{"PHOTO", "LOGO", "SOUND"}, func(c *formats.Card) map[string]formats.CardResource { return c.Media }},
	{[]string{"URL", "CONTACT-URI"}, func(c *formats.Card) map[string]formats.CardResource { return c.Links }},
	{[]string{"KEY"}, func(c *formats.Card) map[string]formats.CardResource { return c.CryptoKeys }},
	{[]string{"SOURCE", "ORG-DIRECTORY"}, func(c *formats.Card) map[string]formats.CardResource { return c.Directories }},
	{[]string{"CALURI", "FBURL"}, func(c *formats.Card) map[string]formats.CardResource { return c.Calendars }},
}

func (e *encoder) resources(c *formats.Card) {
	for _, r := range resourceNames {
		m := r.of(c)
		for n, id := range ids(m) {
			v, name := m[id], r.names[0]
			for _, other := range r.names {
				if _, kind := resources(c, other); kind == v.Kind {
					name = other
				}
			}
			p := e.object(n, id, name, v.URI, v.VCardParams).types(contextTypes(v.Contexts)...).prefer(v.Pref)
			p.set("mediatype", v.MediaType)
			if v.ListAs != 0 {
				p.set("index", strconv.Itoa(v.ListAs))
			}
			e.label(p, v.Label)
		}
	}
}

// words adds what somebody wrote about a person.
func (e *encoder) words(c *formats.Card) {
	for _, key := range slices.Sorted(maps.Keys(c.RelatedTo)) {
		v := c.RelatedTo[key]
		e.add("RELATED", key, v.VCardParams).typed(key, "uri").types(slices.Sorted(maps.Keys(v.Relation))...)
	}
	if len(c.Keywords) > 0 {
		e.add("CATEGORIES", joinTexts(slices.Sorted(maps.Keys(c.Keywords))), nil)
	}
	for n, id := range ids(c.Notes) {
		v := c.Notes[id]
		p := e.object(n, id, "NOTE", escape(v.Note), v.VCardParams)
		if t, ok := parseTimestamp(v.Created); ok {
			p.set("created", t.Format(basicTime))
		}
		if v.Author != nil {
			p.set("author", v.Author.URI)
			p.set("author-name", v.Author.Name)
		}
	}
	for n, id := range ids(c.PersonalInfo) {
		v := c.PersonalInfo[id]
		name := strings.ToUpper(v.Kind)
		if !slices.Contains([]string{"EXPERTISE", "HOBBY", "INTEREST"}, name) {
			continue
		}
		p := e.object(n, id, name, escape(v.Value), v.VCardParams)
		p.set("level", v.Level)
		for word, level := range levels {
			if name == "EXPERTISE" && level == v.Level {
				p.set("level", word)
			}
		}
		if v.ListAs != 0 {
			p.set("index", strconv.Itoa(v.ListAs))
		}
		e.label(p, v.Label)
	}
}

// merge adds the properties that vCardProps keeps. One with parameters whose name and value are there already gives
// that one its parameters. One that would be read as what the record says elsewhere is left for JSPROP.
func (e *encoder) merge(kept []formats.Property) {
	made := map[string]int{}
	for i, p := range slices.Backward(e.props) {
		made[p.name+":"+p.value] = i
	}
	for _, j := range kept {
		p, ok := fromJSON(j)
		if !ok {
			continue
		}
		i, same := made[p.name+":"+p.value]
		switch {
		case same && (len(p.params) > 0 || p.group != ""):
			delete(p.params, "value") // it is written as it must be
			maps.Copy(e.props[i].params, p.params)
			e.props[i].group = cmp.Or(p.group, e.props[i].group)
		case !p.ofRecord():
			e.props = append(e.props, p)
		}
	}
}

// ofRecord reports whether a property says what the record is, rather than only what its body says.
func (p *property) ofRecord() bool {
	switch cmp.Or(aliases[p.name].name, p.name) {
	case "UID", "KIND", "MEMBER":
		return true
	case "CREATED", "REV":
		_, ok := parseTimestamp(p.value)
		return ok
	}
	return false
}
