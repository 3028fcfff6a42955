package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// History is the whole chain of one person, as far as somebody is entitled to see it: every leaf from the first one to
// that of this very disclosure, without a gap; the key that shows that they are the person's; and the fields that are
// opened. What it does not contain was not logged before the disclosure.
//
// Whoever has it cannot recognise leaves that follow: each disclosure ends an epoch of the key of the tags.
type History struct {
	Format     string          `json:"format"`  // HistoryFormat
	Service    string          `json:"service"` // whose events are opened; "": all are
	Checkpoint string          `json:"checkpoint"`
	TagKeys    []Hash          `json:"tagKeys"` // of each epoch
	Events     []HistoricEvent `json:"events"`
}

// HistoryFormat names the form of a [History].
const HistoryFormat = "passerelle-log-history/1"

// HistoricEvent is one leaf of a [History].
type HistoricEvent struct {
	Index  int64             `json:"index"`
	Leaf   []byte            `json:"leaf"`
	Proof  []Hash            `json:"proof"` // RFC 6962 section 2.1.1
	Opened map[Field]Opening `json:"opened"`
}

// Disclose says what of a person's history somebody gets.
type Disclose struct {
	Person  string
	Service string // only events with this service are opened as a whole; "": all are
	To      string // who gets it, as the log shall say
	// Hide leaves the services of all other events closed. Then the history shows what there was of the service, but
	// no more that there was nothing else.
	Hide bool
}

// what is opened of every event, so that the chain can be followed
var linkFields = []Field{Counter, Epoch, Previous, Time}

// maxHistory is the greatest size of a history's file, in bytes.
const maxHistory = 1 << 30

// History logs that a person's history is disclosed, and returns it up to that event. The error wraps ErrUnknown if
// nothing is logged of the person.
func (l *Ledger) History(ctx context.Context, d Disclose) (*History, error) {
	keys, err := l.persons.of(ctx, d.Person, false)
	if err != nil {
		return nil, err
	}
	if at, err := l.link(ctx, l.db.Read, keys); err != nil || at.counter == 0 {
		return nil, errors.Join(err, ErrUnknown)
	}
	scope := "all services"
	if d.Service != "" {
		scope = "service " + d.Service
	}
	logged, err := l.Append(ctx, Event{Person: d.Person, Class: Disclosure, Type: "history.disclosed", Service: d.To, Detail: scope})
	if err != nil {
		return nil, err
	}
	if _, _, err = logged.Wait(ctx); err != nil {
		return nil, err
	}
	last := logged.leaves[0]
	at, err := l.publishedWith(ctx, last.index)
	if err != nil {
		return nil, err
	}
	h := &History{Format: HistoryFormat, Service: d.Service, Checkpoint: string(at.Note)}
	if err := l.disclose(ctx, h, keys, last, at, d); err != nil {
		return nil, fmt.Errorf("disclose a history: %w", err)
	}
	return h, nil
}

func (l *Ledger) disclose(ctx context.Context, h *History, keys *personKeys, last logged, at Checkpoint, d Disclose) error {
	hashes := tlog.TileHashReader(at.tree(), newTileCache(ctx, l.Log))
	var epoch int64
	for e, err := range l.chain(ctx, keys, last.id, last.counter) {
		if err != nil {
			return err
		}
		if len(h.Events) == 0 {
			epoch = e.at.epoch
		}
		event, err := l.prove(ctx, e, at, hashes)
		if err != nil {
			return err
		}
		salts := keys.saltsOf(e.counter)
		for _, f := range opens(&e.opened.values, d, len(h.Events) == 0) {
			event.Opened[f] = Opening{Value: e.opened.values[f], Salt: salts[f]}
		}
		h.Events = append(h.Events, event)
	}
	slices.Reverse(h.Events)
	for e := range epoch + 1 {
		h.TagKeys = append(h.TagKeys, Hash(keys.tagKey(e)))
	}
	return nil
}

// opens says which fields of an event are opened. That of the disclosure itself is last.
func opens(v *values, d Disclose, last bool) []Field {
	if last || d.Service == "" || v[Service] == d.Service {
		all := make([]Field, fields)
		for f := range all {
			all[f] = Field(f)
		}
		return all
	}
	if d.Hide {
		return linkFields
	}
	return append([]Field{Service}, linkFields...)
}

func (l *Ledger) prove(ctx context.Context, e chained, at Checkpoint, hashes tlog.HashReader) (HistoricEvent, error) {
	leaf, err := l.Leaf(ctx, e.index)
	if err != nil {
		return HistoricEvent{}, err
	}
	proof, err := tlog.ProveRecord(at.Size, e.index, hashes)
	if err != nil {
		return HistoricEvent{}, fmt.Errorf("prove leaf %d: %w", e.index, err)
	}
	event := HistoricEvent{Index: e.index, Leaf: leaf, Opened: map[Field]Opening{}}
	for _, h := range proof {
		event.Proof = append(event.Proof, Hash(h))
	}
	return event, nil
}

// publishedWith waits until the published checkpoint covers a leaf.
func (l *Ledger) publishedWith(ctx context.Context, index int64) (Checkpoint, error) {
	for {
		at, err := l.Published(ctx)
		if err != nil || at.Size > index {
			return at, err
		}
		if !pause(ctx, l.opt.Poll) {
			return Checkpoint{}, fmt.Errorf("wait for a checkpoint that covers leaf %d: %w", index, ctx.Err())
		}
	}
}

// ReadHistory reads a history's file.
func ReadHistory(r io.Reader) (*History, error) {
	h := &History{}
	if err := readProof(io.LimitReader(r, maxHistory), h); err != nil {
		return nil, err
	}
	if h.Format != HistoryFormat {
		return nil, fmt.Errorf("%w: its format is %.60q, not %q", ErrProof, h.Format, HistoryFormat)
	}
	return h, nil
}

// Shown is what a history proves.
type Shown struct {
	Checkpoint   Checkpoint    `json:"checkpoint"`
	Cosignatures []Cosignature `json:"cosignatures,omitempty"`
	Service      string        `json:"service,omitempty"`
	Events       []ShownEvent  `json:"events"` // those that are opened as a whole, from the oldest
	Others       int           `json:"others"` // how many leaves of the person are not about the service
	Closed       int           `json:"closed"` // of how many others not even the service is opened
	Until        time.Time     `json:"until"`  // of the disclosure: nothing is missing before
}

// ShownEvent is an event that a history opens.
type ShownEvent struct {
	Index  int64            `json:"index"`
	Class  string           `json:"class"`
	Time   time.Time        `json:"time"`
	Fields map[Field]string `json:"fields"` // those that are opened and not empty
}

// Before returns a sentence on what the history shows of the time before its first event.
func (s *Shown) Before() string {
	what := "Nothing was logged of this person"
	if s.Service != "" {
		what = "Nothing was logged of this person for the service " + s.Service
	}
	switch {
	case s.Closed > 0:
		return fmt.Sprintf("%d events of the person are not opened: whether they concern the service is not shown.", s.Closed)
	case len(s.Events) == 0:
		return fmt.Sprintf("%s before %s.", what, s.Until.Format(time.RFC3339))
	}
	return fmt.Sprintf("%s before %s.", what, s.Events[0].Time.Format(time.RFC3339))
}

// Verify checks a history, offline: the checkpoint, that every leaf is in the log, that they are one chain of one
// person without a gap up to the disclosure, and that what is opened is what was logged. The error wraps ErrProof or
// ErrUntrusted, and names the event.
func (h *History) Verify(trust *Trust) (*Shown, error) {
	s := &Shown{Service: h.Service}
	var err error
	if s.Checkpoint, s.Cosignatures, err = trust.Open([]byte(h.Checkpoint)); err != nil {
		return nil, err
	}
	v := &historyVerifier{h: h, shown: s}
	for i := range h.Events {
		if err := v.event(int64(i), &h.Events[i]); err != nil {
			return nil, fmt.Errorf("%w: event %d of the chain: %w", ErrProof, i, err)
		}
	}
	if !v.disclosed || int64(len(h.TagKeys)) != v.epoch+1 {
		return nil, fmt.Errorf("%w: it does not end with its own disclosure: events may be missing at its end", ErrProof)
	}
	s.Until = v.last
	return s, nil
}

// historyVerifier follows a chain.
type historyVerifier struct {
	h     *History
	shown *Shown

	epoch     int64
	index     int64
	previous  string
	last      time.Time
	disclosed bool // the event before was a disclosure
}

func (v *historyVerifier) event(n int64, e *HistoricEvent) error {
	leaf, err := ParseLeaf(e.Leaf)
	if err != nil {
		return err
	}
	for f, o := range e.Opened {
		if !leaf.Opens(f, o) {
			return fmt.Errorf("its %s is not %.60q: the leaf says something else", f, o.Value)
		}
	}
	for _, f := range linkFields {
		if _, ok := e.Opened[f]; !ok {
			return fmt.Errorf("its %s is not opened", f)
		}
	}
	if err := v.follows(n, leaf, e); err != nil {
		return err
	}
	if err := v.included(leaf, e); err != nil {
		return err
	}
	v.previous, v.index = leaf.Hash().String(), e.Index
	v.disclosed = leaf.Class() == Disclosure
	if int(n) < len(v.h.Events)-1 || len(e.Opened) != int(fields) {
		v.show(leaf, e)
	}
	return nil
}

// follows checks that the leaf goes on where the one before ended.
func (v *historyVerifier) follows(n int64, leaf Leaf, e *HistoricEvent) error {
	if v.disclosed {
		v.epoch++
	}
	at, err := time.Parse(timeLayout, e.Opened[Time].Value)
	switch {
	case err != nil:
		return fmt.Errorf("its time %.60q is none", e.Opened[Time].Value)
	case e.Opened[Counter].Value != fmt.Sprint(n):
		return fmt.Errorf("it has the number %.20s: one is missing", e.Opened[Counter].Value)
	case e.Opened[Previous].Value != v.previous:
		return errors.New("it follows another leaf than the one that is before it here")
	case e.Opened[Epoch].Value != fmt.Sprint(v.epoch) || v.epoch >= int64(len(v.h.TagKeys)):
		return fmt.Errorf("its epoch is %.20s, not %d", e.Opened[Epoch].Value, v.epoch)
	case leaf.Tag() != tagOf(v.h.TagKeys[v.epoch][:], n):
		return errors.New("its tag is not this person's")
	case at.Before(v.last):
		return errors.New("it is earlier than the one before")
	case !at.Truncate(time.Hour).Equal(leaf.Hour()):
		return errors.New("its time is not in the hour that the leaf says")
	case n > 0 && e.Index <= v.index:
		return errors.New("it is in the log before the one that it follows")
	}
	v.last = at
	return nil
}

func (v *historyVerifier) included(leaf Leaf, e *HistoricEvent) error {
	at := v.shown.Checkpoint
	if e.Index < 0 || e.Index >= at.Size || len(e.Proof) > 64 {
		return fmt.Errorf("the checkpoint of %d leaves does not cover leaf %d", at.Size, e.Index)
	}
	proof := make(tlog.RecordProof, len(e.Proof))
	for i, h := range e.Proof {
		proof[i] = tlog.Hash(h)
	}
	if err := tlog.CheckRecord(proof, at.Size, tlog.Hash(at.Hash), e.Index, tlog.Hash(leaf.Hash())); err != nil {
		return fmt.Errorf("it is not leaf %d of the log", e.Index)
	}
	return nil
}

// show adds what is opened of an event to what the history shows.
func (v *historyVerifier) show(leaf Leaf, e *HistoricEvent) {
	service, ok := e.Opened[Service]
	switch {
	case !ok:
		v.shown.Others++
		v.shown.Closed++
		return
	case v.h.Service != "" && service.Value != v.h.Service:
		v.shown.Others++
		return
	}
	shown := ShownEvent{Index: e.Index, Class: leaf.Class().String(), Time: v.last, Fields: map[Field]string{}}
	for f, o := range e.Opened {
		if o.Value != "" && !slices.Contains([]Field{Counter, Epoch, Previous, Time}, f) {
			shown.Fields[f] = o.Value
		}
	}
	v.shown.Events = append(v.shown.Events, shown)
}

// Text is what a history shows, for people.
func (s *Shown) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "The log %s, %d leaves.\n", s.Checkpoint.Origin, s.Checkpoint.Size)
	for _, c := range s.Cosignatures {
		fmt.Fprintf(&b, "  seen by the witness %s before %s\n", c.Witness, c.Time.Format(time.RFC3339))
	}
	fmt.Fprintf(&b, "%s\n", s.Before())
	for _, e := range s.Events {
		fmt.Fprintf(&b, "%s  leaf %d  %s", e.Time.Format(time.RFC3339), e.Index, e.Class)
		for f := range fields {
			if value := e.Fields[f]; value != "" {
				fmt.Fprintf(&b, "  %s=%s", f, value)
			}
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintf(&b, "Complete until %s. %d other events of the person.\n", s.Until.Format(time.RFC3339), s.Others)
	return b.String()
}
