package icalendar

import (
	"cmp"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// roles are what ROLE says, by its value (RFC 5545 section 3.2.16). The first is the default.
var roles = []struct {
	role string
	set  []string
}{
	{"REQ-PARTICIPANT", []string{"attendee"}},
	{"CHAIR", []string{"attendee", "chair"}},
	{"OPT-PARTICIPANT", []string{"attendee", "optional"}},
	{"NON-PARTICIPANT", []string{"informational"}},
}

// kinds are what CUTYPE says.
var kinds = map[string]string{"INDIVIDUAL": "individual", "GROUP": "group", "RESOURCE": "resource", "ROOM": "location"}

var participations = []string{"needs-action", "accepted", "declined", "tentative", "delegated"}

// person notes an ATTENDEE or ORGANIZER; people takes them when all are known.
func (d *decoded) person(p *property) bool {
	if p.name == "ORGANIZER" {
		if d.organizer != nil {
			return false
		}
		own := p.clone()
		d.organizer = &own
		clear(p.params)
		return true
	}
	if d.addresses[strings.ToLower(p.value)] != "" {
		return false
	}
	own := p.clone()
	id := d.participantID(&own)
	put(&d.event.Participants, id, formats.CalendarParticipant{SendTo: sendTo(p.value)})
	d.attendees[id] = &own
	clear(p.params)
	return true
}

// participantID returns an id for somebody new.
func (d *decoded) participantID(p *property) string {
	at := strings.ToLower(p.value)
	if id := d.wonted[at]; id != "" && p.param(jsIDParam) == "" {
		p.set(jsIDParam, id)
	}
	id := nextID(d.event.Participants, p)
	d.addresses[at] = id
	return id
}

// sendTo says how to reach an address: by mail (RFC 6047), or some other way.
func sendTo(address string) map[string]string {
	if mailOf(address) != "" {
		return map[string]string{"imip": address}
	}
	return map[string]string{"other": address}
}

// mailOf returns the mail address of a "mailto:" URI, or "".
func mailOf(address string) string {
	if len(address) > 7 && strings.EqualFold(address[:7], "mailto:") {
		return address[7:]
	}
	return ""
}

// people takes those who were noted.
func (d *decoded) people() {
	for _, id := range ids(d.attendees) {
		p := d.attendees[id]
		d.event.Participants[id] = d.attendee(p)
		d.spare(p)
	}
	if d.organizer == nil {
		return
	}
	p := d.organizer
	d.event.ReplyTo = sendTo(p.value)
	if sender := mailOf(p.param("sent-by")); sender != "" {
		d.event.SentBy = sender
		p.take("sent-by")
	}
	id := d.addresses[strings.ToLower(p.value)]
	if id == "" {
		id = d.participantID(p)
		put(&d.event.Participants, id, formats.CalendarParticipant{
			Name: p.take("cn"), Email: cmp.Or(p.take("email"), mailOf(p.value)), SendTo: sendTo(p.value),
		})
	}
	owner := d.event.Participants[id]
	if p.param("cn") == owner.Name {
		p.take("cn")
	}
	if p.param("email") == owner.Email {
		p.take("email")
	}
	put((*map[string]bool)(&owner.Roles), "owner", true)
	d.event.Participants[id] = owner
	p.take(jsIDParam)
	d.spare(p)
}

func (d *decoded) attendee(p *property) formats.CalendarParticipant {
	v := formats.CalendarParticipant{
		Name: p.take("cn"), Email: cmp.Or(p.take("email"), mailOf(p.value)), SendTo: sendTo(p.value), Language: p.take("language"),
	}
	role := cmp.Or(strings.ToUpper(p.param("role")), roles[0].role)
	v.Roles = formats.SetOf(roles[0].set...)
	for _, r := range roles {
		if r.role == role {
			v.Roles = formats.SetOf(r.set...)
			p.take("role")
		}
	}
	if kind := kinds[strings.ToUpper(p.param("cutype"))]; kind != "" {
		v.Kind = kind
		p.take("cutype")
	}
	if status := strings.ToLower(p.param("partstat")); slices.Contains(participations, status) {
		v.ParticipationStatus = status
		p.take("partstat")
	}
	switch strings.ToUpper(p.param("rsvp")) {
	case "TRUE":
		v.ExpectReply = true
		p.take("rsvp")
	case "FALSE":
		p.take("rsvp")
	}
	if sender := mailOf(p.param("sent-by")); sender != "" {
		v.SentBy = sender
		p.take("sent-by")
	}
	v.ScheduleAgent = strings.ToLower(p.take("schedule-agent"))
	if status := p.take("schedule-status"); status != "" {
		v.ScheduleStatus = strings.Split(status, ",")
	}
	v.DelegatedTo = d.others(p, "delegated-to")
	v.DelegatedFrom = d.others(p, "delegated-from")
	v.MemberOf = d.others(p, "member")
	return v
}

// others takes a parameter that names other participants, if all of them are there.
func (d *decoded) others(p *property, param string) formats.Set {
	set := formats.Set{}
	for _, address := range p.params[param] {
		id := d.addresses[strings.ToLower(address)]
		if id == "" || set[id] {
			return nil
		}
		set[id] = true
	}
	delete(p.params, param)
	if len(set) == 0 {
		return nil
	}
	return set
}

// address returns the calendar address of a participant, or "".
func address(v *formats.CalendarParticipant) string {
	mail := ""
	if v.Email != "" {
		mail = "mailto:" + v.Email
	}
	return cmp.Or(v.SendTo["imip"], cmp.Or(v.SendTo["other"], mail))
}

// people adds the organizer and those who take part.
func (e *encoder) people() {
	organizer := e.organizer()
	n := 0
	for _, id := range ids(e.event.Participants) {
		v := e.event.Participants[id]
		at := address(&v)
		if at == "" || len(v.Roles) == 1 && v.Roles["owner"] {
			continue
		}
		e.attendee(n, id, at, &v)
		n++
	}
	if organizer == "" {
		return
	}
	p := e.c.add("ORGANIZER", organizer)
	if e.event.SentBy != "" {
		p.set("sent-by", "mailto:"+e.event.SentBy)
	}
	for _, id := range ids(e.event.Participants) {
		v := e.event.Participants[id]
		if !strings.EqualFold(address(&v), organizer) {
			continue
		}
		p.set("cn", v.Name)
		if len(v.Roles) == 1 && v.Roles["owner"] {
			number(n, id, p)
			if v.Email != mailOf(organizer) {
				p.set("email", v.Email)
			}
		}
		return
	}
}

// organizer returns the address of whom answers go to, else of the owner.
func (e *encoder) organizer() string {
	if at := cmp.Or(e.event.ReplyTo["imip"], e.event.ReplyTo["other"]); at != "" {
		return at
	}
	for _, id := range ids(e.event.Participants) {
		if v := e.event.Participants[id]; v.Roles["owner"] && address(&v) != "" {
			return address(&v)
		}
	}
	return ""
}

func (e *encoder) attendee(n int, id, at string, v *formats.CalendarParticipant) {
	p := e.object(n, id, "ATTENDEE", at).set("cn", v.Name).set("language", v.Language)
	if v.Email != mailOf(at) {
		p.set("email", v.Email)
	}
	for _, r := range roles[1:] {
		if v.Roles[r.set[len(r.set)-1]] {
			p.set("role", r.role)
			break
		}
	}
	for cutype, kind := range kinds {
		if kind == v.Kind {
			p.set("cutype", cutype)
		}
	}
	if slices.Contains(participations, v.ParticipationStatus) {
		p.set("partstat", strings.ToUpper(v.ParticipationStatus))
	}
	if v.ExpectReply {
		p.set("rsvp", "TRUE")
	}
	if v.SentBy != "" {
		p.set("sent-by", "mailto:"+v.SentBy)
	}
	p.set("schedule-agent", strings.ToUpper(v.ScheduleAgent))
	p.set("schedule-status", strings.Join(v.ScheduleStatus, ","))
	e.others(p, "delegated-to", v.DelegatedTo)
	e.others(p, "delegated-from", v.DelegatedFrom)
	e.others(p, "member", v.MemberOf)
}

func (e *encoder) others(p *property, param string, set formats.Set) {
	for _, id := range ids(set) {
		if v, ok := e.event.Participants[id]; ok && address(&v) != "" {
			p.params[param] = append(p.params[param], address(&v))
		}
	}
}
