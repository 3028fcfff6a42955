package ledger

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Class is what outsiders may know of an event. It is in the leaf in the clear.
type Class byte

// The classes.
const (
	Decision   Class = 1 // a consent was given, changed, refused or withdrawn
	Access     Class = 2 // data was given to a service
	Transfer   Class = 3 // an instance, or part of one, left or arrived
	Disclosure Class = 4 // somebody was given proofs of this log
	Erasure    Class = 5 // the last event of a person who is forgotten
	Conduct    Class = 6 // what the operator did: keys, configuration, requests of authorities
)

var classNames = map[Class]string{
	Decision: "decision", Access: "access", Transfer: "transfer", Disclosure: "disclosure", Erasure: "erasure", Conduct: "conduct",
}

func (c Class) String() string {
	if name, ok := classNames[c]; ok {
		return name
	}
	return "class " + strconv.Itoa(int(c))
}

// Event is something that happened to a person's data. All texts may be empty; none is longer than [MaxText] bytes.
type Event struct {
	Person string // whose it is: any text that names the person here. It is not stored.
	Class  Class

	Type     string // what happened, such as "consent.granted"
	Service  string // who asked, or received
	Consent  string // id of the consent, or of the authorisation to move
	Revision string // of the consent
	Dataset  string // which datasets
	Regime   string // the rule pack that governed it, such as "psd2@2023-07-25"
	Detail   string // what else proves it: hashes, counts

	// Keep is until when the event must be kept although the person wants to be forgotten, since a claim may be made
	// that it refutes (GDPR article 17(3)(e)). Zero: no longer than the person wants.
	Keep time.Time

	forget bool // it ends the chain
}

// MaxText is the greatest length of an event's text, in bytes.
const MaxText = 16 << 10

func (e *Event) check() error {
	if _, ok := classNames[e.Class]; !ok {
		return fmt.Errorf("%w: there is no class %d", ErrEvent, e.Class)
	}
	if (e.Class == Erasure) != e.forget {
		return fmt.Errorf("%w: only to forget a person is logged as erasure", ErrEvent)
	}
	if e.Person == "" {
		return fmt.Errorf("%w: it names no person", ErrEvent)
	}
	for name, text := range map[string]string{"person": e.Person, "type": e.Type, "service": e.Service, "consent": e.Consent,
		"revision": e.Revision, "dataset": e.Dataset, "regime": e.Regime, "detail": e.Detail} {
		if len(text) > MaxText {
			return fmt.Errorf("%w: its %s has %d bytes, more than %d", ErrEvent, name, len(text), MaxText)
		}
		if !utf8.ValidString(text) {
			return fmt.Errorf("%w: its %s is not UTF-8", ErrEvent, name)
		}
	}
	return nil
}

// Field is one of the things that a leaf commits to, each by itself.
type Field byte

// The fields, in their order in the leaf.
const (
	Type Field = iota
	Service
	Consent
	Revision
	Dataset
	Regime
	Detail
	Time     // when it happened: RFC 3339 with microseconds, UTC; never before that of the event before
	Counter  // the event's number in the person's chain, from 0
	Epoch    // the period of the key that made the tag, from 0: see [Ledger.History]
	Previous // the leaf hash of the event before, hexadecimal; of the first one, empty
	fields   // how many there are
)

var fieldNames = [fields]string{"type", "service", "consent", "revision", "dataset", "regime", "detail", "time", "counter", "epoch", "previous"}

func (f Field) String() string {
	if f < fields {
		return fieldNames[f]
	}
	return "field " + strconv.Itoa(int(f))
}

// ParseField reads a field's name.
func ParseField(name string) (Field, error) {
	for i, n := range fieldNames {
		if n == name {
			return Field(i), nil
		}
	}
	return 0, fmt.Errorf("there is no field %.40q: there are %s", name, strings.Join(fieldNames[:], ", "))
}

// MarshalText implements encoding.TextMarshaler.
func (f Field) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Field) UnmarshalText(text []byte) (err error) {
	*f, err = ParseField(string(text))
	return err
}

// values are what a leaf commits to.
type values [fields]string

func (e *Event) values(at link, now time.Time) values {
	v := values{Type: e.Type, Service: e.Service, Consent: e.Consent, Revision: e.Revision, Dataset: e.Dataset, Regime: e.Regime,
		Detail: e.Detail, Time: now.Format(timeLayout), Counter: strconv.FormatInt(at.counter, 10), Epoch: strconv.FormatInt(at.epoch, 10)}
	if at.counter > 0 {
		v[Previous] = at.previous.String()
	}
	return v
}

const timeLayout = "2006-01-02T15:04:05.000000Z"
