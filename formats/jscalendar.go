package formats

import (
	"encoding/json"
	"fmt"
)

// Event is the body of an event of a calendar: a JSCalendar Event (RFC 8984 section 2.1). It also has the members that
// only a [Task] uses, so that the two are converted into each other by formats.Event(task) and formats.Task(event).
//
// Start, Due and the keys of RecurrenceOverrides are local times as "2006-01-02T15:04:05" in TimeZone; without a
// TimeZone they float: the same hour wherever one is. Whole days start at 00:00:00 and set ShowWithoutTime. Created,
// Updated and all other moments are UTC, as "2006-01-02T15:04:05Z". Durations are ISO 8601 without years and months
// ("P1D", "PT1H30M"). Ids only tell the members of one map apart.
//
// What iCalendar says and JSCalendar does not is in ICalComponent.
type Event struct {
	UID                    string                             `json:"uid,omitempty"`
	RelatedTo              map[string]CalendarRelation        `json:"relatedTo,omitempty"` // by uid
	ProdID                 string                             `json:"prodId,omitempty"`
	Created                string                             `json:"created,omitempty"`
	Updated                string                             `json:"updated,omitempty"`
	Sequence               int                                `json:"sequence,omitempty"`
	Method                 string                             `json:"method,omitempty"` // of iTIP, in lower case
	Title                  string                             `json:"title,omitempty"`
	Description            string                             `json:"description,omitempty"`
	DescriptionContentType string                             `json:"descriptionContentType,omitempty"` // "text/plain" if absent
	Start                  string                             `json:"start,omitempty"`
	Duration               string                             `json:"duration,omitempty"` // of an event; "PT0S" if absent
	TimeZone               string                             `json:"timeZone,omitempty"` // IANA name, "Etc/UTC", or a key of TimeZones
	ShowWithoutTime        bool                               `json:"showWithoutTime,omitempty"`
	Due                    string                             `json:"due,omitempty"`               // of a task
	EstimatedDuration      string                             `json:"estimatedDuration,omitempty"` // of a task
	PercentComplete        int                                `json:"percentComplete,omitempty"`   // of a task, 0 to 100
	Progress               string                             `json:"progress,omitempty"`          // of a task: "needs-action", "in-process", "completed", "failed", "cancelled"
	ProgressUpdated        string                             `json:"progressUpdated,omitempty"`   // of a task
	Status                 string                             `json:"status,omitempty"`            // of an event: "confirmed" if absent, "cancelled", "tentative"
	Locations              map[string]CalendarLocation        `json:"locations,omitempty"`
	VirtualLocations       map[string]CalendarVirtualLocation `json:"virtualLocations,omitempty"`
	Links                  map[string]CalendarLink            `json:"links,omitempty"`
	Locale                 string                             `json:"locale,omitempty"`
	Keywords               Set                                `json:"keywords,omitempty"`
	Categories             Set                                `json:"categories,omitempty"` // URIs
	Color                  string                             `json:"color,omitempty"`      // CSS
	RecurrenceID           string                             `json:"recurrenceId,omitempty"`
	RecurrenceIDTimeZone   string                             `json:"recurrenceIdTimeZone,omitempty"`
	RecurrenceRules        []RecurrenceRule                   `json:"recurrenceRules,omitempty"`
	ExcludedRules          []RecurrenceRule                   `json:"excludedRecurrenceRules,omitempty"`
	RecurrenceOverrides    map[string]PatchObject             `json:"recurrenceOverrides,omitempty"` // by the local time of the occurrence
	Excluded               bool                               `json:"excluded,omitempty"`
	Priority               int                                `json:"priority,omitempty"`       // 1 (highest) to 9, 0 if none
	FreeBusyStatus         string                             `json:"freeBusyStatus,omitempty"` // "busy" if absent, "free"
	Privacy                string                             `json:"privacy,omitempty"`        // "public" if absent, "private", "secret"
	ReplyTo                map[string]string                  `json:"replyTo,omitempty"`        // URI by method: "imip", "web", "other"
	SentBy                 string                             `json:"sentBy,omitempty"`
	Participants           map[string]CalendarParticipant     `json:"participants,omitempty"`
	RequestStatus          string                             `json:"requestStatus,omitempty"`
	UseDefaultAlerts       bool                               `json:"useDefaultAlerts,omitempty"`
	Alerts                 map[string]CalendarAlert           `json:"alerts,omitempty"`
	Localizations          map[string]PatchObject             `json:"localizations,omitempty"` // by language
	TimeZones              map[string]CalendarTimeZone        `json:"timeZones,omitempty"`     // custom ones, by a name that starts with "/"
	ICalComponent          *ICalComponent                     `json:"iCalComponent,omitempty"`
	Others                 Members                            `json:"-"`
}

// Task is the body of something to do: a JSCalendar Task (RFC 8984 section 2.2).
type Task Event

// CalendarRelation is a JSCalendar Relation (RFC 8984 section 1.4.10).
type CalendarRelation struct {
	Relation Set     `json:"relation,omitempty"` // "first", "next", "child", "parent"
	Others   Members `json:"-"`
}

// CalendarLocation is a JSCalendar Location (RFC 8984 section 4.2.5).
type CalendarLocation struct {
	Name          string                  `json:"name,omitempty"`
	Description   string                  `json:"description,omitempty"`
	LocationTypes Set                     `json:"locationTypes,omitempty"` // RFC 4589
	RelativeTo    string                  `json:"relativeTo,omitempty"`    // "start", "end"
	TimeZone      string                  `json:"timeZone,omitempty"`
	Coordinates   string                  `json:"coordinates,omitempty"` // a "geo:" URI, RFC 5870
	Links         map[string]CalendarLink `json:"links,omitempty"`
	Others        Members                 `json:"-"`
}

// CalendarVirtualLocation is a JSCalendar VirtualLocation (RFC 8984 section 4.2.6).
type CalendarVirtualLocation struct {
	Name        string  `json:"name,omitempty"`
	Description string  `json:"description,omitempty"`
	URI         string  `json:"uri,omitempty"`
	Features    Set     `json:"features,omitempty"` // "audio", "chat", "feed", "moderator", "phone", "screen", "video"
	Others      Members `json:"-"`
}

// CalendarLink is a JSCalendar Link (RFC 8984 section 1.4.11).
type CalendarLink struct {
	Href        string  `json:"href,omitempty"`
	CID         string  `json:"cid,omitempty"`
	ContentType string  `json:"contentType,omitempty"`
	Size        int64   `json:"size,omitempty"` // bytes
	Rel         string  `json:"rel,omitempty"`  // IANA link relation: "enclosure" for an attachment
	Display     string  `json:"display,omitempty"`
	Title       string  `json:"title,omitempty"`
	Others      Members `json:"-"`
}

// RecurrenceRule is a JSCalendar RecurrenceRule (RFC 8984 section 4.3.3).
type RecurrenceRule struct {
	Frequency      string `json:"frequency,omitempty"` // "yearly", "monthly", "weekly", "daily", "hourly", "minutely", "secondly"
	Interval       int    `json:"interval,omitempty"`  // 1 if absent
	RScale         string `json:"rscale,omitempty"`    // "gregorian" if absent
	Skip           string `json:"skip,omitempty"`      // "omit" if absent, "backward", "forward"
	FirstDayOfWeek string `json:"firstDayOfWeek,omitempty"`
	ByDay          []NDay `json:"byDay,omitempty"`
	ByMonthDay     []int  `json:"byMonthDay,omitempty"`
	// ByMonth holds "1" to "12", with an "L" behind for a leap month.
	ByMonth       []string `json:"byMonth,omitempty"`
	ByYearDay     []int    `json:"byYearDay,omitempty"`
	ByWeekNo      []int    `json:"byWeekNo,omitempty"`
	ByHour        []int    `json:"byHour,omitempty"`
	ByMinute      []int    `json:"byMinute,omitempty"`
	BySecond      []int    `json:"bySecond,omitempty"`
	BySetPosition []int    `json:"bySetPosition,omitempty"`
	Count         int      `json:"count,omitempty"`
	Until         string   `json:"until,omitempty"` // the last local time, in the zone of the event
	Others        Members  `json:"-"`
}

// NDay is a day of the week, or the nth such day of the month or year (RFC 8984 section 4.3.3).
type NDay struct {
	Day         string  `json:"day,omitempty"` // "mo", "tu", "we", "th", "fr", "sa", "su"
	NthOfPeriod int     `json:"nthOfPeriod,omitempty"`
	Others      Members `json:"-"`
}

// CalendarParticipant is a JSCalendar Participant (RFC 8984 section 4.4.6).
type CalendarParticipant struct {
	Name                 string                  `json:"name,omitempty"`
	Email                string                  `json:"email,omitempty"`
	Description          string                  `json:"description,omitempty"`
	SendTo               map[string]string       `json:"sendTo,omitempty"` // URI by method: "imip", "other"
	Kind                 string                  `json:"kind,omitempty"`   // "individual", "group", "location", "resource"
	Roles                Set                     `json:"roles,omitempty"`  // "owner", "attendee", "optional", "informational", "chair", "contact"
	LocationID           string                  `json:"locationId,omitempty"`
	Language             string                  `json:"language,omitempty"`
	ParticipationStatus  string                  `json:"participationStatus,omitempty"` // "needs-action" if absent, "accepted", "declined", "tentative", "delegated"
	ParticipationComment string                  `json:"participationComment,omitempty"`
	ExpectReply          bool                    `json:"expectReply,omitempty"`
	ScheduleAgent        string                  `json:"scheduleAgent,omitempty"` // "server" if absent, "client", "none"
	ScheduleForceSend    bool                    `json:"scheduleForceSend,omitempty"`
	ScheduleSequence     int                     `json:"scheduleSequence,omitempty"`
	ScheduleStatus       []string                `json:"scheduleStatus,omitempty"`
	ScheduleUpdated      string                  `json:"scheduleUpdated,omitempty"`
	SentBy               string                  `json:"sentBy,omitempty"`
	InvitedBy            string                  `json:"invitedBy,omitempty"`
	DelegatedTo          Set                     `json:"delegatedTo,omitempty"`
	DelegatedFrom        Set                     `json:"delegatedFrom,omitempty"`
	MemberOf             Set                     `json:"memberOf,omitempty"`
	Links                map[string]CalendarLink `json:"links,omitempty"`
	Progress             string                  `json:"progress,omitempty"` // of a task
	ProgressUpdated      string                  `json:"progressUpdated,omitempty"`
	PercentComplete      int                     `json:"percentComplete,omitempty"`
	Others               Members                 `json:"-"`
}

// CalendarAlert is a JSCalendar Alert (RFC 8984 section 4.5.2).
type CalendarAlert struct {
	Trigger      *CalendarTrigger            `json:"trigger,omitempty"`
	Acknowledged string                      `json:"acknowledged,omitempty"`
	RelatedTo    map[string]CalendarRelation `json:"relatedTo,omitempty"`
	Action       string                      `json:"action,omitempty"` // "display" if absent, "email"
	Others       Members                     `json:"-"`
}

// CalendarTrigger is a JSCalendar OffsetTrigger, or an AbsoluteTrigger where When is set.
type CalendarTrigger struct {
	Offset     string  `json:"offset,omitempty"`     // a duration that may be negative: "-PT15M"
	RelativeTo string  `json:"relativeTo,omitempty"` // "start" if absent, "end"
	When       string  `json:"when,omitempty"`       // UTC
	Others     Members `json:"-"`
}

// CalendarTimeZone is a JSCalendar TimeZone (RFC 8984 section 4.7.2).
type CalendarTimeZone struct {
	TZID       string             `json:"tzId,omitempty"`
	Updated    string             `json:"updated,omitempty"`
	URL        string             `json:"url,omitempty"`
	ValidUntil string             `json:"validUntil,omitempty"`
	Aliases    Set                `json:"aliases,omitempty"`
	Standard   []CalendarZoneRule `json:"standard,omitempty"`
	Daylight   []CalendarZoneRule `json:"daylight,omitempty"`
	Others     Members            `json:"-"`
}

// CalendarZoneRule is a JSCalendar TimeZoneRule: from when on which offset holds.
type CalendarZoneRule struct {
	Start               string                 `json:"start,omitempty"`
	OffsetFrom          string                 `json:"offsetFrom,omitempty"` // "+01:00"
	OffsetTo            string                 `json:"offsetTo,omitempty"`
	RecurrenceRules     []RecurrenceRule       `json:"recurrenceRules,omitempty"`
	RecurrenceOverrides map[string]PatchObject `json:"recurrenceOverrides,omitempty"`
	Names               Set                    `json:"names,omitempty"`
	Comments            []string               `json:"comments,omitempty"`
	Others              Members                `json:"-"`
}

// ICalComponent holds what an iCalendar component says and the JSCalendar object that has it as its member
// "iCalComponent" does not (after draft-ietf-calext-jscalendar-icalendar). A property whose name and value also follow
// from the object adds its parameters to that one; every other stands for itself.
type ICalComponent struct {
	Name       string      `json:"name,omitempty"` // "vevent", "vtodo", "valarm", …
	Properties []Property  `json:"properties,omitempty"`
	Components []Component `json:"components,omitempty"`
	Others     Members     `json:"-"`
}

// Component is an iCalendar component in its JSON form: an array of its name in lower case, its properties and its
// components (RFC 7265 section 3.3).
type Component struct {
	Name       string
	Properties []Property
	Components []Component
}

// MarshalJSON implements [json.Marshaler].
func (c Component) MarshalJSON() ([]byte, error) {
	properties, components := c.Properties, c.Components
	if properties == nil {
		properties = []Property{}
	}
	if components == nil {
		components = []Component{}
	}
	return MarshalBody([]any{c.Name, properties, components})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (c *Component) UnmarshalJSON(data []byte) error {
	var elements []json.RawMessage
	if err := json.Unmarshal(data, &elements); err != nil {
		return err
	}
	if len(elements) != 3 {
		return fmt.Errorf("%w: a component is an array of its name, properties and components", ErrInvalid)
	}
	for i, part := range []any{&c.Name, &c.Properties, &c.Components} {
		if err := json.Unmarshal(elements[i], part); err != nil {
			return fmt.Errorf("%w: component: %v", ErrInvalid, err)
		}
	}
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (r CalendarRelation) MarshalJSON() ([]byte, error) {
	return marshalObject("Relation", r, r.Others)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (r *CalendarRelation) UnmarshalJSON(b []byte) error {
	return unmarshalObject("Relation", b, r, &r.Others)
}

// MarshalJSON implements [json.Marshaler].
func (l CalendarLocation) MarshalJSON() ([]byte, error) {
	return marshalObject("Location", l, l.Others)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (l *CalendarLocation) UnmarshalJSON(b []byte) error {
	return unmarshalObject("Location", b, l, &l.Others)
}

// MarshalJSON implements [json.Marshaler].
func (v CalendarVirtualLocation) MarshalJSON() ([]byte, error) {
	return marshalObject("VirtualLocation", v, v.Others)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (v *CalendarVirtualLocation) UnmarshalJSON(b []byte) error {
	return unmarshalObject("VirtualLocation", b, v, &v.Others)
}

// MarshalJSON implements [json.Marshaler].
func (l CalendarLink) MarshalJSON() ([]byte, error) { return marshalObject("Link", l, l.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (l *CalendarLink) UnmarshalJSON(b []byte) error { return unmarshalObject("Link", b, l, &l.Others) }

// MarshalJSON implements [json.Marshaler].
func (r RecurrenceRule) MarshalJSON() ([]byte, error) {
	return marshalObject("RecurrenceRule", r, r.Others)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (r *RecurrenceRule) UnmarshalJSON(b []byte) error {
	return unmarshalObject("RecurrenceRule", b, r, &r.Others)
}

// MarshalJSON implements [json.Marshaler].
func (n NDay) MarshalJSON() ([]byte, error) { return marshalObject("NDay", n, n.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (n *NDay) UnmarshalJSON(b []byte) error { return unmarshalObject("NDay", b, n, &n.Others) }

// MarshalJSON implements [json.Marshaler].
func (p CalendarParticipant) MarshalJSON() ([]byte, error) {
	return marshalObject("Participant", p, p.Others)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *CalendarParticipant) UnmarshalJSON(b []byte) error {
	return unmarshalObject("Participant", b, p, &p.Others)
}

// MarshalJSON implements [json.Marshaler].
func (a CalendarAlert) MarshalJSON() ([]byte, error) { return marshalObject("Alert", a, a.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (a *CalendarAlert) UnmarshalJSON(b []byte) error {
	return unmarshalObject("Alert", b, a, &a.Others)
}

// MarshalJSON implements [json.Marshaler].
func (t CalendarTimeZone) MarshalJSON() ([]byte, error) {
	return marshalObject("TimeZone", t, t.Others)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *CalendarTimeZone) UnmarshalJSON(b []byte) error {
	return unmarshalObject("TimeZone", b, t, &t.Others)
}

// MarshalJSON implements [json.Marshaler].
func (z CalendarZoneRule) MarshalJSON() ([]byte, error) {
	return marshalObject("TimeZoneRule", z, z.Others)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (z *CalendarZoneRule) UnmarshalJSON(b []byte) error {
	return unmarshalObject("TimeZoneRule", b, z, &z.Others)
}

// MarshalJSON implements [json.Marshaler].
func (c ICalComponent) MarshalJSON() ([]byte, error) {
	return marshalObject("ICalComponent", c, c.Others)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (c *ICalComponent) UnmarshalJSON(b []byte) error {
	return unmarshalObject("ICalComponent", b, c, &c.Others)
}

// MarshalJSON implements [json.Marshaler].
func (e Event) MarshalJSON() ([]byte, error) { return marshalObject("Event", e, e.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (e *Event) UnmarshalJSON(b []byte) error { return unmarshalObject("Event", b, e, &e.Others) }

// MarshalJSON implements [json.Marshaler].
func (t Task) MarshalJSON() ([]byte, error) { return marshalObject("Task", t, t.Others) }

// UnmarshalJSON implements [json.Unmarshaler].
func (t *Task) UnmarshalJSON(b []byte) error { return unmarshalObject("Task", b, t, &t.Others) }

// MarshalJSON implements [json.Marshaler].
func (t CalendarTrigger) MarshalJSON() ([]byte, error) {
	return marshalObject(t.typ(), t, t.Others)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *CalendarTrigger) UnmarshalJSON(b []byte) error {
	if err := unmarshalObject("", b, t, &t.Others); err != nil {
		return err
	}
	return unmarshalObject(t.typ(), b, t, &t.Others)
}

func (t *CalendarTrigger) typ() string {
	if t.When != "" {
		return "AbsoluteTrigger"
	}
	return "OffsetTrigger"
}
