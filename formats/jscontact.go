package formats

// Card is the body of a contact or, where its kind is "group", of a group of contacts: a JSContact Card (RFC 9553
// section 2). Records of contacts link to the groups they are in (rel "group").
//
// Times are UTC as "2006-01-02T15:04:05Z". Ids are the person's or the origin's; they only tell the members of one map
// apart. Pref is 1 (most preferred) to 100, 0 if unknown. Contexts are "private", "work" and, for addresses,
// "billing" and "delivery".
//
// What vCard says and JSContact does not is in VCardProps and VCardParams (RFC 9555 section 2.15.1).
type Card struct {
	Version             string                           `json:"version"` // "1.0"; set when encoded
	UID                 string                           `json:"uid,omitempty"`
	Kind                string                           `json:"kind,omitempty"` // "individual" if absent, "group", "org", "location", "device", "application"
	Language            string                           `json:"language,omitempty"`
	ProdID              string                           `json:"prodId,omitempty"`
	Created             string                           `json:"created,omitempty"`
	Updated             string                           `json:"updated,omitempty"`
	Members             Set                              `json:"members,omitempty"`   // of a group: uids
	RelatedTo           map[string]CardRelation          `json:"relatedTo,omitempty"` // by uid or name
	Name                *CardName                        `json:"name,omitempty"`
	Nicknames           map[string]CardNickname          `json:"nicknames,omitempty"`
	Organizations       map[string]CardOrganization      `json:"organizations,omitempty"`
	Titles              map[string]CardTitle             `json:"titles,omitempty"`
	SpeakToAs           *CardSpeakToAs                   `json:"speakToAs,omitempty"`
	Emails              map[string]CardEmail             `json:"emails,omitempty"`
	Phones              map[string]CardPhone             `json:"phones,omitempty"`
	OnlineServices      map[string]CardOnlineService     `json:"onlineServices,omitempty"`
	PreferredLanguages  map[string]CardLanguage          `json:"preferredLanguages,omitempty"`
	Addresses           map[string]CardAddress           `json:"addresses,omitempty"`
	Calendars           map[string]CardResource          `json:"calendars,omitempty"` // kinds "calendar", "freeBusy"
	SchedulingAddresses map[string]CardSchedulingAddress `json:"schedulingAddresses,omitempty"`
	CryptoKeys          map[string]CardResource          `json:"cryptoKeys,omitempty"`
	Directories         map[string]CardResource          `json:"directories,omitempty"` // kinds "directory", "entry"
	Links               map[string]CardResource          `json:"links,omitempty"`       // kind "contact" or none
	Media               map[string]CardResource          `json:"media,omitempty"`       // kinds "photo", "sound", "logo"
	Anniversaries       map[string]CardAnniversary       `json:"anniversaries,omitempty"`
	Keywords            Set                              `json:"keywords,omitempty"`
	Notes               map[string]CardNote              `json:"notes,omitempty"`
	PersonalInfo        map[string]CardPersonalInfo      `json:"personalInfo,omitempty"`
	Localizations       map[string]PatchObject           `json:"localizations,omitempty"` // by language
	VCardProps          []Property                       `json:"vCardProps,omitempty"`
	Others              Members                          `json:"-"`
}

// CardName is a JSContact Name (RFC 9553 section 2.2.1).
type CardName struct {
	Full             string              `json:"full,omitempty"`
	Components       []CardNameComponent `json:"components,omitempty"` // if not ordered, best surname first: then vCard says the same
	IsOrdered        bool                `json:"isOrdered,omitempty"`  // the components stand in the order in which one says them
	DefaultSeparator string              `json:"defaultSeparator,omitempty"`
	SortAs           map[string]string   `json:"sortAs,omitempty"` // by kind of component
	PhoneticScript   string              `json:"phoneticScript,omitempty"`
	PhoneticSystem   string              `json:"phoneticSystem,omitempty"`
	Others           Members             `json:"-"`
}

// CardNameComponent is one part of a name.
type CardNameComponent struct {
	Kind     string  `json:"kind,omitempty"` // "title", "given", "given2", "surname", "surname2", "generation", "credential", "separator"
	Value    string  `json:"value,omitempty"`
	Phonetic string  `json:"phonetic,omitempty"`
	Others   Members `json:"-"`
}

// CardNickname is a JSContact Nickname (RFC 9553 section 2.2.2).
type CardNickname struct {
	Name        string  `json:"name,omitempty"`
	Contexts    Set     `json:"contexts,omitempty"`
	Pref        int     `json:"pref,omitempty"`
	VCardParams Params  `json:"vCardParams,omitempty"`
	Others      Members `json:"-"`
}

// CardOrganization is a JSContact Organization (RFC 9553 section 2.2.3).
type CardOrganization struct {
	Name        string        `json:"name,omitempty"`
	Units       []CardOrgUnit `json:"units,omitempty"` // from the largest to the smallest
	SortAs      string        `json:"sortAs,omitempty"`
	Contexts    Set           `json:"contexts,omitempty"`
	VCardParams Params        `json:"vCardParams,omitempty"`
	Others      Members       `json:"-"`
}

// CardOrgUnit is a part of an organization.
type CardOrgUnit struct {
	Name   string  `json:"name,omitempty"`
	SortAs string  `json:"sortAs,omitempty"`
	Others Members `json:"-"`
}

// CardTitle is a JSContact Title (RFC 9553 section 2.2.5).
type CardTitle struct {
	Name           string  `json:"name,omitempty"`
	Kind           string  `json:"kind,omitempty"` // "title" if absent, "role"
	OrganizationID string  `json:"organizationId,omitempty"`
	VCardParams    Params  `json:"vCardParams,omitempty"`
	Others         Members `json:"-"`
}

// CardSpeakToAs is a JSContact SpeakToAs (RFC 9553 section 2.2.4).
type CardSpeakToAs struct {
	GrammaticalGender string                  `json:"grammaticalGender,omitempty"` // "animate", "common", "feminine", "inanimate", "masculine", "neuter"
	Pronouns          map[string]CardPronouns `json:"pronouns,omitempty"`
	Others            Members                 `json:"-"`
}

// CardPronouns says with which pronouns to speak of somebody.
type CardPronouns struct {
	Pronouns    string  `json:"pronouns,omitempty"`
	Contexts    Set     `json:"contexts,omitempty"`
	Pref        int     `json:"pref,omitempty"`
	VCardParams Params  `json:"vCardParams,omitempty"`
	Others      Members `json:"-"`
}

// CardEmail is a JSContact EmailAddress (RFC 9553 section 2.3.1).
type CardEmail struct {
	Address     string  `json:"address,omitempty"`
	Contexts    Set     `json:"contexts,omitempty"`
	Pref        int     `json:"pref,omitempty"`
	Label       string  `json:"label,omitempty"`
	VCardParams Params  `json:"vCardParams,omitempty"`
	Others      Members `json:"-"`
}

// CardPhone is a JSContact Phone (RFC 9553 section 2.3.3).
type CardPhone struct {
	Number      string  `json:"number,omitempty"`
	Features    Set     `json:"features,omitempty"` // "mobile", "voice", "text", "video", "main-number", "textphone", "fax", "pager"
	Contexts    Set     `json:"contexts,omitempty"`
	Pref        int     `json:"pref,omitempty"`
	Label       string  `json:"label,omitempty"`
	VCardParams Params  `json:"vCardParams,omitempty"`
	Others      Members `json:"-"`
}

// CardOnlineService is a JSContact OnlineService (RFC 9553 section 2.3.2).
type CardOnlineService struct {
	Service     string  `json:"service,omitempty"`
	URI         string  `json:"uri,omitempty"`
	User        string  `json:"user,omitempty"`
	Contexts    Set     `json:"contexts,omitempty"`
	Pref        int     `json:"pref,omitempty"`
	Label       string  `json:"label,omitempty"`
	VCardName   string  `json:"vCardName,omitempty"` // "impp" or "socialprofile": the vCard property it came from
	VCardParams Params  `json:"vCardParams,omitempty"`
	Others      Members `json:"-"`
}

// CardLanguage is a JSContact LanguagePref (RFC 9553 section 2.3.4).
type CardLanguage struct {
	Language    string  `json:"language,omitempty"` // RFC 5646
	Contexts    Set     `json:"contexts,omitempty"`
	Pref        int     `json:"pref,omitempty"`
	VCardParams Params  `json:"vCardParams,omitempty"`
	Others      Members `json:"-"`
}

// CardSchedulingAddress is a JSContact SchedulingAddress (RFC 9553 section 2.4.2).
type CardSchedulingAddress struct {
	URI         string  `json:"uri,omitempty"`
	Contexts    Set     `json:"contexts,omitempty"`
	Pref        int     `json:"pref,omitempty"`
	Label       string  `json:"label,omitempty"`
	VCardParams Params  `json:"vCardParams,omitempty"`
	Others      Members `json:"-"`
}

// CardAddress is a JSContact Address (RFC 9553 section 2.5.1).
type CardAddress struct {
	Full             string                 `json:"full,omitempty"` // as one writes it on a letter; lines parted by "\n"
	Components       []CardAddressComponent `json:"components,omitempty"`
	IsOrdered        bool                   `json:"isOrdered,omitempty"`
	DefaultSeparator string                 `json:"defaultSeparator,omitempty"`
	CountryCode      string                 `json:"countryCode,omitempty"` // ISO 3166-1, two letters
	Coordinates      string                 `json:"coordinates,omitempty"` // a "geo:" URI, RFC 5870
	TimeZone         string                 `json:"timeZone,omitempty"`    // IANA name
	Contexts         Set                    `json:"contexts,omitempty"`
	Pref             int                    `json:"pref,omitempty"`
	PhoneticScript   string                 `json:"phoneticScript,omitempty"`
	PhoneticSystem   string                 `json:"phoneticSystem,omitempty"`
	VCardParams      Params                 `json:"vCardParams,omitempty"`
	Others           Members                `json:"-"`
}

// CardAddressComponent is one part of an address.
type CardAddressComponent struct {
	// Kind is "room", "apartment", "floor", "building", "number", "name" (of the street), "block", "subdistrict",
	// "district", "locality", "region", "postcode", "country", "direction", "landmark", "postOfficeBox" or "separator".
	Kind     string  `json:"kind,omitempty"`
	Value    string  `json:"value,omitempty"`
	Phonetic string  `json:"phonetic,omitempty"`
	Others   Members `json:"-"`
}

// CardResource is a JSContact Calendar, CryptoKey, Directory, Link or Media: something that a URI leads to or that a
// "data:" URI holds (RFC 9553 sections 1.4.4, 2.4.1 and 2.6).
type CardResource struct {
	Kind        string  `json:"kind,omitempty"`
	URI         string  `json:"uri,omitempty"`
	MediaType   string  `json:"mediaType,omitempty"`
	Contexts    Set     `json:"contexts,omitempty"`
	Pref        int     `json:"pref,omitempty"`
	Label       string  `json:"label,omitempty"`
	ListAs      int     `json:"listAs,omitempty"` // of a directory: its place among the directories, from 1
	VCardParams Params  `json:"vCardParams,omitempty"`
	Others      Members `json:"-"`
}

// CardAnniversary is a JSContact Anniversary (RFC 9553 section 2.8.1).
type CardAnniversary struct {
	Kind        string       `json:"kind,omitempty"` // "birth", "death", "wedding" or one of the origin's own
	Date        *CardDate    `json:"date,omitempty"`
	Place       *CardAddress `json:"place,omitempty"`
	VCardParams Params       `json:"vCardParams,omitempty"`
	Others      Members      `json:"-"`
}

// CardDate is a JSContact PartialDate, or a Timestamp where UTC is set. Zero parts are unknown.
type CardDate struct {
	Year          int     `json:"year,omitempty"`
	Month         int     `json:"month,omitempty"`
	Day           int     `json:"day,omitempty"`
	CalendarScale string  `json:"calendarScale,omitempty"` // "gregorian" if absent
	UTC           string  `json:"utc,omitempty"`
	Others        Members `json:"-"`
}

// CardNote is a JSContact Note (RFC 9553 section 2.8.3).
type CardNote struct {
	Note        string      `json:"note,omitempty"`
	Created     string      `json:"created,omitempty"`
	Author      *CardAuthor `json:"author,omitempty"`
	VCardParams Params      `json:"vCardParams,omitempty"`
	Others      Members     `json:"-"`
}

// CardAuthor is who wrote a note.
type CardAuthor struct {
	Name   string  `json:"name,omitempty"`
	URI    string  `json:"uri,omitempty"`
	Others Members `json:"-"`
}

// CardPersonalInfo is a JSContact PersonalInfo (RFC 9553 section 2.8.4).
type CardPersonalInfo struct {
	Kind        string  `json:"kind,omitempty"` // "expertise", "hobby", "interest"
	Value       string  `json:"value,omitempty"`
	Level       string  `json:"level,omitempty"` // "high", "medium", "low"
	ListAs      int     `json:"listAs,omitempty"`
	Label       string  `json:"label,omitempty"`
	VCardParams Params  `json:"vCardParams,omitempty"`
	Others      Members `json:"-"`
}

// CardRelation is a JSContact Relation (RFC 9553 section 2.1.8).
type CardRelation struct {
	Relation    Set     `json:"relation,omitempty"` // "spouse", "child", "friend", …
	VCardParams Params  `json:"vCardParams,omitempty"`
	Others      Members `json:"-"`
}

// The encoded form of each object is its fields, then its other members.

// MarshalJSON implements [json.Marshaler].
func (c Card) MarshalJSON() ([]byte, error) {
	if c.Version == "" && c.Others["version"] == nil {
		c.Version = "1.0"
	}
	return marshalObject("Card", c, c.Others)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (c *Card) UnmarshalJSON(b []byte) error { return unmarshalObject("Card", b, c, &c.Others) }

// MarshalJSON implements [json.Marshaler].
func (n CardName) MarshalJSON() ([]byte, error) { return marshalObject("", n, n.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (n *CardName) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, n, &n.Others) }

// MarshalJSON implements [json.Marshaler].
func (n CardNameComponent) MarshalJSON() ([]byte, error) { return marshalObject("", n, n.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (n *CardNameComponent) UnmarshalJSON(b []byte) error {
	return unmarshalObject("", b, n, &n.Others)
}

// MarshalJSON implements [json.Marshaler].
func (n CardNickname) MarshalJSON() ([]byte, error) { return marshalObject("", n, n.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (n *CardNickname) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, n, &n.Others) }

// MarshalJSON implements [json.Marshaler].
func (o CardOrganization) MarshalJSON() ([]byte, error) { return marshalObject("", o, o.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (o *CardOrganization) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, o, &o.Others) }

// MarshalJSON implements [json.Marshaler].
func (o CardOrgUnit) MarshalJSON() ([]byte, error) { return marshalObject("", o, o.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (o *CardOrgUnit) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, o, &o.Others) }

// MarshalJSON implements [json.Marshaler].
func (t CardTitle) MarshalJSON() ([]byte, error) { return marshalObject("", t, t.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (t *CardTitle) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, t, &t.Others) }

// MarshalJSON implements [json.Marshaler].
func (s CardSpeakToAs) MarshalJSON() ([]byte, error) { return marshalObject("", s, s.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (s *CardSpeakToAs) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, s, &s.Others) }

// MarshalJSON implements [json.Marshaler].
func (p CardPronouns) MarshalJSON() ([]byte, error) { return marshalObject("", p, p.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *CardPronouns) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, p, &p.Others) }

// MarshalJSON implements [json.Marshaler].
func (e CardEmail) MarshalJSON() ([]byte, error) { return marshalObject("", e, e.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (e *CardEmail) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, e, &e.Others) }

// MarshalJSON implements [json.Marshaler].
func (p CardPhone) MarshalJSON() ([]byte, error) { return marshalObject("", p, p.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *CardPhone) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, p, &p.Others) }

// MarshalJSON implements [json.Marshaler].
func (o CardOnlineService) MarshalJSON() ([]byte, error) { return marshalObject("", o, o.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (o *CardOnlineService) UnmarshalJSON(b []byte) error {
	return unmarshalObject("", b, o, &o.Others)
}

// MarshalJSON implements [json.Marshaler].
func (l CardLanguage) MarshalJSON() ([]byte, error) { return marshalObject("", l, l.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (l *CardLanguage) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, l, &l.Others) }

// MarshalJSON implements [json.Marshaler].
func (s CardSchedulingAddress) MarshalJSON() ([]byte, error) { return marshalObject("", s, s.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (s *CardSchedulingAddress) UnmarshalJSON(b []byte) error {
	return unmarshalObject("", b, s, &s.Others)
}

// MarshalJSON implements [json.Marshaler].
func (a CardAddress) MarshalJSON() ([]byte, error) { return marshalObject("", a, a.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (a *CardAddress) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, a, &a.Others) }

// MarshalJSON implements [json.Marshaler].
func (a CardAddressComponent) MarshalJSON() ([]byte, error) { return marshalObject("", a, a.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (a *CardAddressComponent) UnmarshalJSON(b []byte) error {
	return unmarshalObject("", b, a, &a.Others)
}

// MarshalJSON implements [json.Marshaler].
func (r CardResource) MarshalJSON() ([]byte, error) { return marshalObject("", r, r.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (r *CardResource) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, r, &r.Others) }

// MarshalJSON implements [json.Marshaler].
func (a CardAnniversary) MarshalJSON() ([]byte, error) { return marshalObject("", a, a.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (a *CardAnniversary) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, a, &a.Others) }

// MarshalJSON implements [json.Marshaler].
func (d CardDate) MarshalJSON() ([]byte, error) { return marshalObject(d.typ(), d, d.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (d *CardDate) UnmarshalJSON(b []byte) error {
	if err := unmarshalObject("", b, d, &d.Others); err != nil {
		return err
	}
	return unmarshalObject(d.typ(), b, d, &d.Others)
}

// typ is what "@type" says: a partial date is what an anniversary has if nothing else is said.
func (d *CardDate) typ() string {
	if d.UTC != "" {
		return "Timestamp"
	}
	return ""
}

// MarshalJSON implements [json.Marshaler].
func (n CardNote) MarshalJSON() ([]byte, error) { return marshalObject("", n, n.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (n *CardNote) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, n, &n.Others) }

// MarshalJSON implements [json.Marshaler].
func (a CardAuthor) MarshalJSON() ([]byte, error) { return marshalObject("", a, a.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (a *CardAuthor) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, a, &a.Others) }

// MarshalJSON implements [json.Marshaler].
func (p CardPersonalInfo) MarshalJSON() ([]byte, error) { return marshalObject("", p, p.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *CardPersonalInfo) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, p, &p.Others) }

// MarshalJSON implements [json.Marshaler].
func (r CardRelation) MarshalJSON() ([]byte, error) { return marshalObject("", r, r.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (r *CardRelation) UnmarshalJSON(b []byte) error { return unmarshalObject("", b, r, &r.Others) }
