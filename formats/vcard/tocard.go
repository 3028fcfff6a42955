package vcard

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Properties of our own, for what neither vCard nor JSContact says of a record. A reader that does not know them
// ignores them.
const (
	jsProp      = "JSPROP"                // RFC 9555 section 3.2.1
	ownID       = "X-PASSERELLE-ID"       // the record's id, where it is not the UID
	ownLink     = "X-PASSERELLE-LINK"     // a link to a record that is no group; parameters REL and DATASET
	ownCreated  = "X-PASSERELLE-CREATED"  // the record's time, where CREATED cannot say it
	ownModified = "X-PASSERELLE-MODIFIED" // the same for REV
	ownBy       = "x-passerelle-by"       // who says a MEMBER, CREATED or REV: see byRecord and byBody
)

// Values of the parameter X-PASSERELLE-BY; without it, both say so.
const (
	byRecord = "record" // only the record's envelope: the member's link, the record's time
	byBody   = "body"   // only the card's body: its members, its times
)

// member is a MEMBER of a group.
type member struct {
	value string
	text  bool // the value is a uid that is no URI
	by    string
}

// decoded is what the properties of one vCard say.
type decoded struct {
	card     formats.Card
	patches  formats.PatchObject // from JSPROP
	members  []member
	links    []formats.Link
	id       string // from X-PASSERELLE-ID
	uid      string // from UID
	created  time.Time
	modified time.Time

	labels map[string]string         // by group, of the groups that only serve to label one property
	extra  map[string]formats.Params // by property, see keepParams
	places []property
}

// decode reads modern properties.
func decode(props []property) *decoded {
	d := &decoded{labels: labelGroups(props), extra: map[string]formats.Params{}}
	for _, p := range props {
		if p.name == "X-ABLABEL" && d.labels[p.group] != "" || p.blank() {
			continue
		}
		if own := p.clone(); !d.property(&own) {
			d.keep(p)
		}
	}
	for _, p := range d.places {
		if !d.place(p) {
			d.keep(p)
		}
	}
	if n := d.card.Name; n != nil && n.Full == "" && len(n.Components)+len(n.SortAs) == 0 {
		d.card.Name = nil
	}
	d.keepParams()
	return d
}

var itemGroup = regexp.MustCompile(`^item[0-9]+$`)

// labelGroups finds the groups of one property that can have a label, and X-ABLabel.
func labelGroups(props []property) map[string]string {
	labels, labelled, others := map[string]string{}, map[string]int{}, map[string]int{}
	for _, p := range props {
		switch p.name {
		case "X-ABLABEL":
			if _, twice := labels[p.group]; twice || p.group == "" || len(p.params) > 0 {
				others[p.group]++
			}
			labels[p.group] = p.value
		case "TEL", "EMAIL", "IMPP", "SOCIALPROFILE", "URL", "CONTACT-URI", "FBURL", "CALURI", "CALADRURI", "PHOTO",
			"LOGO", "SOUND", "KEY", "SOURCE", "ORG-DIRECTORY", "EXPERTISE", "HOBBY", "INTEREST":
			labelled[p.group]++
		default:
			others[p.group]++
		}
	}
	for group, label := range labels {
		if labelled[group] != 1 || others[group] > 0 || strings.TrimSpace(label) == "" {
			delete(labels, group)
		}
	}
	return labels
}

// blank reports whether a property says nothing. An id may be made of what says nothing elsewhere.
func (p *property) blank() bool {
	if p.name == ownID || p.name == ownLink || (p.name == "UID" || p.name == "MEMBER") && p.param("value") == "text" {
		return p.value == ""
	}
	return strings.Trim(p.value, ";, ") == ""
}

// keep leaves a property as it is.
func (d *decoded) keep(p property) { d.card.VCardProps = append(d.card.VCardProps, p.json()) }

// property takes a property into the card. It returns false for one that JSContact has no place for.
func (d *decoded) property(p *property) bool {
	switch p.name {
	case "BEGIN", "END", "VERSION":
		return true // of a second version line; the marks never come here
	case "UID", "KIND", "FN", "N", "PRODID", "LANGUAGE", "GRAMGENDER", "CREATED", "REV":
		return d.single(p)
	case ownID, ownLink, ownCreated, ownModified:
		return d.own(p)
	case jsProp:
		return d.patch(p)
	case "MEMBER":
		return d.member(p)
	case "CATEGORIES":
		return d.keywords(p)
	case "RELATED":
		return d.related(p)
	case "NICKNAME", "ORG", "TITLE", "ROLE", "PRONOUNS":
		return d.naming(p)
	case "EMAIL", "TEL", "IMPP", "SOCIALPROFILE", "LANG", "CALADRURI":
		return d.reaching(p)
	case "ADR", "GEO", "TZ":
		return d.address(p)
	case "BDAY", "DEATHDATE", "ANNIVERSARY":
		return d.anniversary(p)
	case "BIRTHPLACE", "DEATHPLACE":
		d.places = append(d.places, p.clone())
		return true
	case "NOTE":
		return d.note(p)
	case "EXPERTISE", "HOBBY", "INTEREST":
		return d.personal(p)
	}
	return d.resource(p)
}

// single reads a property that becomes a member of the card itself. Parameters that have no place there are kept
// beside, see keepParams.
func (d *decoded) single(p *property) bool {
	var into *string
	text := unescape(p.value)
	switch p.name {
	case "UID":
		into, d.uid = &d.card.UID, p.value
		if p.take("value") == "text" {
			d.uid = text
		}
		text = d.uid
	case "KIND":
		into, text = &d.card.Kind, strings.ToLower(text)
	case "FN", "N":
		return d.name(p)
	case "PRODID":
		into = &d.card.ProdID
	case "LANGUAGE":
		into = &d.card.Language
	case "GRAMGENDER":
		into, text = &d.speakToAs().GrammaticalGender, strings.ToLower(text)
	default:
		return d.time(p)
	}
	if *into != "" {
		return false
	}
	*into = text
	d.spare(p)
	return true
}

// spare keeps the parameters that are left of a property that becomes no object.
func (d *decoded) spare(p *property) {
	if rest := rest(p); rest != nil {
		d.extra[p.name] = rest
	}
}

// keepParams keeps those parameters: as a property of the same name and value, which writing merges into that one.
func (d *decoded) keepParams() {
	if len(d.extra) == 0 {
		return
	}
	for _, p := range encode(&d.card).props {
		params, ok := d.extra[p.name]
		if !ok {
			continue
		}
		kept := property{name: p.name, params: params, value: p.value}
		kept.group = kept.take("group")
		if v := p.param("value"); v != "" {
			kept.set("value", v)
		}
		d.keep(kept)
		delete(d.extra, p.name)
	}
}

func (d *decoded) time(p *property) bool {
	t, ok := parseTimestamp(p.value)
	into, at := &d.card.Updated, &d.modified
	if p.name == "CREATED" {
		into, at = &d.card.Created, &d.created
	}
	if !ok || *into != "" {
		return false
	}
	by := p.take(ownBy)
	if at.IsZero() && by != byBody {
		*at = t
	}
	if p.take("value"); by != byRecord {
		*into = t.Format(time.RFC3339)
		d.spare(p)
	}
	return true
}

func (d *decoded) own(p *property) bool {
	switch p.name {
	case ownID:
		d.id = unescape(p.value)
	case ownLink:
		link := formats.Link{Rel: p.param("rel"), Dataset: formats.Dataset(p.param("dataset")), ID: unescape(p.value)}
		if link.Rel != "" && link.Dataset != "" {
			d.links = append(d.links, link)
		}
	default:
		at, err := time.Parse(time.RFC3339Nano, p.value)
		if err != nil {
			return true
		}
		if p.name == ownCreated {
			d.created = at
		} else {
			d.modified = at
		}
	}
	return true
}

func (d *decoded) patch(p *property) bool {
	value := json.RawMessage(unescape(p.value))
	pointer, ok := p.params["jsptr"]
	if !ok || len(pointer) != 1 || !json.Valid(value) {
		return false
	}
	put((*map[string]json.RawMessage)(&d.patches), pointer[0], value)
	return true
}

// member reads a MEMBER. Parameters are kept beside, as those of other properties that become no object.
func (d *decoded) member(p *property) bool {
	m := member{value: p.value, by: p.take(ownBy), text: p.param("value") == "text"}
	if m.text {
		m.value = unescape(p.value)
	}
	d.members = append(d.members, m)
	kept := p.clone()
	delete(p.params, "value")
	if rest(p) != nil {
		d.keep(kept)
	}
	return true
}

func (d *decoded) keywords(p *property) bool {
	if rest(p) != nil {
		return false
	}
	if d.card.Keywords == nil {
		d.card.Keywords = formats.Set{}
	}
	for _, k := range texts(p.value) {
		d.card.Keywords[k] = true
	}
	return true
}

func (d *decoded) related(p *property) bool {
	key := p.value
	if v := p.take("value"); v == "text" {
		key = unescape(key)
	}
	if _, twice := d.card.RelatedTo[key]; twice {
		return false
	}
	relation := formats.Set{}
	for _, t := range p.params["type"] {
		relation[strings.ToLower(t)] = true
	}
	delete(p.params, "type")
	put(&d.card.RelatedTo, key, formats.CardRelation{Relation: relation, VCardParams: rest(p)})
	return true
}

func (d *decoded) speakToAs() *formats.CardSpeakToAs {
	if d.card.SpeakToAs == nil {
		d.card.SpeakToAs = &formats.CardSpeakToAs{}
	}
	return d.card.SpeakToAs
}

// put adds to a map that may not be made yet.
func put[T any](m *map[string]T, id string, v T) {
	if *m == nil {
		*m = map[string]T{}
	}
	(*m)[id] = v
}

// nextID returns the id of an object: what PROP-ID says, else its number in the map (RFC 9555 section 2.1.2).
func nextID[T any](m map[string]T, p *property) string {
	if id := p.param("prop-id"); id != "" {
		if _, used := m[id]; !used {
			p.take("prop-id")
			return id
		}
	}
	number := strconv.Itoa(len(m) + 1)
	id := number
	for n := 2; ; n++ {
		if _, used := m[id]; !used {
			return id
		}
		id = number + "-" + strconv.Itoa(n)
	}
}

// contexts takes the types that are contexts.
func contexts(p *property, context func(string) string) formats.Set {
	set := formats.Set{}
	p.params["type"] = slices.DeleteFunc(slices.Clone(p.params["type"]), func(t string) bool {
		c := context(t)
		if c == "" || set[c] {
			return false
		}
		set[c] = true
		return true
	})
	if len(p.params["type"]) == 0 {
		delete(p.params, "type")
	}
	return set
}

// number takes a parameter that is a number from 1 to most.
func number(p *property, name string, most int) int {
	n, err := strconv.Atoi(p.param(name))
	if err != nil || n < 1 || n > most || strconv.Itoa(n) != p.param(name) {
		return 0
	}
	p.take(name)
	return n
}

func pref(p *property) int { return number(p, "pref", 100) }

// label takes the label that X-ABLabel gives to the group of p.
func (d *decoded) label(p *property) string {
	raw := d.labels[p.group]
	if p.group == "" || raw == "" {
		return ""
	}
	if itemGroup.MatchString(p.group) {
		p.group = ""
	}
	if word, ok := strings.CutPrefix(raw, "_$!<"); ok && strings.HasSuffix(word, ">!$_") {
		// Apple's own labels: what is between the marks is translated when shown.
		p.params["x-ablabel"] = []string{unescape(raw)}
		return unescape(strings.TrimSuffix(word, ">!$_"))
	}
	return unescape(raw)
}

// rest returns the parameters that are left, for the member vCardParams.
func rest(p *property) formats.Params {
	if p.group != "" {
		p.params["group"] = []string{p.group}
	}
	if len(p.params) == 0 {
		return nil
	}
	return p.params
}
