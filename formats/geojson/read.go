package geojson

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

var (
	errTooLong = fmt.Errorf("%w: something here has more than %d bytes", formats.ErrInvalid, maxItem)
	errTooDeep = fmt.Errorf("%w: something here nests deeper than %d levels", formats.ErrInvalid, maxDepth)
	errNotUTF8 = fmt.Errorf("%w: the value before this place is not UTF-8: convert the file to UTF-8", formats.ErrInvalid)
	errStopped = errors.New("the walk was ended")
)

// read walks the features of a file.
func read(r io.Reader) formats.Records {
	file := formats.NewReread(r)
	return func(yield func(formats.Record, error) bool) {
		in, err := file.Open()
		if err == nil {
			err = walk(in, yield)
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(formats.Record{}, err)
		}
	}
}

// decoder reads one file.
type decoder struct {
	json    *json.Decoder
	meter   *meter
	yield   func(formats.Record, error) bool
	n       int            // features read
	taken   map[string]int // ids, by how often each was asked for
	current *gathering
}

// gathering is a collection of which not all features are read yet.
type gathering struct {
	part     part
	features []json.RawMessage
	size     int
}

func walk(r io.Reader, yield func(formats.Record, error) bool) error {
	in := bufio.NewReader(r)
	if mark, err := in.Peek(3); err == nil && string(mark) == "\ufeff" {
		in.Discard(len(mark)) // cannot fail: they are in the buffer
	}
	m := &meter{in: in}
	d := decoder{json: json.NewDecoder(m), meter: m, yield: yield, taken: map[string]int{}}
	d.json.UseNumber()
	err := d.root()
	if err == nil {
		err = d.flush()
	}
	return err
}

// fault says where an error of the JSON decoder is.
func (d *decoder) fault(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: geojson: byte %d: the file ends in the middle: get it again", formats.ErrInvalid, d.meter.read)
	case isSyntax(err), errors.Is(err, formats.ErrInvalid):
		return fmt.Errorf("%w: geojson: after feature %d, byte %d: %v", formats.ErrInvalid, d.n, d.json.InputOffset(), err)
	}
	return fmt.Errorf("geojson: %w", err)
}

func isSyntax(err error) bool {
	var syntax *json.SyntaxError
	return errors.As(err, &syntax)
}

func (d *decoder) invalid(what string) error {
	return fmt.Errorf("%w: geojson: byte %d: %s", formats.ErrInvalid, d.json.InputOffset(), what)
}

// value reads the next value.
func (d *decoder) value() (json.RawMessage, error) {
	d.meter.mark = d.json.InputOffset()
	var raw json.RawMessage
	if err := d.json.Decode(&raw); err != nil {
		return nil, d.fault(err)
	}
	if depthOf(raw) > maxDepth+2 { // two levels may be of our own members
		return nil, d.fault(errTooDeep)
	}
	if !utf8.Valid(raw) {
		return nil, d.fault(errNotUTF8)
	}
	raw, err := compact(raw)
	if err != nil {
		return nil, d.fault(err)
	}
	return raw, nil
}

// root reads the one value of a file. An empty file has none.
func (d *decoder) root() error {
	t, err := d.json.Token()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return d.fault(err)
	}
	if t != json.Delim('{') {
		return d.invalid("this is no GeoJSON: it is not an object")
	}
	rest, streamed, err := d.members()
	if err != nil {
		return err
	}
	if _, err := d.json.Token(); err != nil {
		return d.fault(err)
	}
	if err := d.end(); err != nil {
		return err
	}
	if streamed {
		return d.beside(rest)
	}
	return d.single(rest)
}

func (d *decoder) end() error {
	d.meter.mark = d.json.InputOffset()
	if _, err := d.json.Token(); err == nil {
		return d.invalid("something follows the GeoJSON: a file holds one")
	} else if !errors.Is(err, io.EOF) {
		return d.fault(err)
	}
	return nil
}

// members reads the members of the root. Features are not kept but read one by one.
func (d *decoder) members() (rest object, streamed bool, err error) {
	size := 0
	for d.json.More() {
		d.meter.mark = d.json.InputOffset()
		t, err := d.json.Token()
		if err != nil {
			return nil, false, d.fault(err)
		}
		name, _ := t.(string)
		if name == "features" {
			streamed = true
			if err := d.features(); err != nil {
				return nil, false, err
			}
			continue
		}
		raw, err := d.value()
		if err != nil {
			return nil, false, err
		}
		if size += len(raw); size > maxItem {
			return nil, false, d.fault(errTooLong)
		}
		rest = append(rest, newMember(name, raw))
	}
	return rest, streamed, nil
}

func (d *decoder) features() error {
	if t, err := d.json.Token(); err != nil {
		return d.fault(err)
	} else if t != json.Delim('[') {
		return d.invalid(`its "features" are not an array`)
	}
	for d.json.More() {
		raw, err := d.value()
		if err != nil {
			return err
		}
		d.n++
		o, ok := parseObject(raw)
		if !ok {
			return d.invalid(fmt.Sprintf("feature %d is not an object: take it out", d.n))
		}
		if err := d.element(o); err != nil {
			return err
		}
	}
	if _, err := d.json.Token(); err != nil {
		return d.fault(err)
	}
	return nil
}

// element reads a feature of the file, or what stands in its place.
func (d *decoder) element(o object) error {
	if p, ok := o.part(); ok {
		return d.gather(p, o)
	}
	if err := d.flush(); err != nil {
		return err
	}
	return d.feature(o)
}

// part returns our foreign member, if the object has it.
func (o object) part() (part, bool) {
	var p part
	i := o.index(memberPart)
	if i < 0 || json.Unmarshal(o[i].value, &p) != nil || !validID(p.Record) {
		return p, false
	}
	return p, true
}

// gather adds a feature to the collection to which it belongs.
func (d *decoder) gather(p part, o object) error {
	if d.current == nil || d.current.part.Record != p.Record || p.Index == nil || *p.Index == 0 {
		if err := d.flush(); err != nil {
			return err
		}
		d.current = &gathering{part: p, size: len(p.Collection)}
	}
	if p.Index == nil {
		return nil
	}
	raw := p.Value
	if raw == nil {
		raw = o.without(o.index(memberPart)).unescaped().bytes()
	}
	if d.current.size += len(raw); d.current.size > maxItem {
		return d.fault(errTooLong)
	}
	d.current.features = append(d.current.features, raw)
	return nil
}

// flush gives the record of the collection that was gathered.
func (d *decoder) flush() error {
	g := d.current
	if g == nil {
		return nil
	}
	d.current = nil
	o, ok := parseObject(g.part.Collection)
	if !ok {
		o = object{newMember("type", json.RawMessage(`"FeatureCollection"`))}
	}
	if len(g.features) > 0 {
		i := o.index("features")
		if i < 0 {
			i, o = len(o), append(o, newMember("features", nil))
		}
		o[i].value = joined(g.features)
	}
	return d.record(g.part.Record, o.bytes())
}

// feature gives the record of a feature. A geometry is made into one.
func (d *decoder) feature(o object) error {
	if isGeometry(o.typ()) {
		geometry := o.bytes()
		o = placeholder()
		o[1].value = geometry
	}
	id := o.id()
	if !validID(id) {
		id = hashID(o.bytes())
	}
	return d.record(id, o.ownID().unescaped().bytes())
}

// id returns the id of a feature, which is a string or a number (RFC 7946 section 3.2), or "".
func (o object) id() string {
	i := o.index("id")
	if i < 0 {
		return ""
	}
	var text string
	if json.Unmarshal(o[i].value, &text) == nil {
		return text
	}
	var number json.Number
	if json.Unmarshal(o[i].value, &number) == nil {
		return number.String()
	}
	return ""
}

// ownID undoes withID.
func (o object) ownID() object {
	i, at := o.index(memberID), o.index("id")
	if i < 0 || at < 0 {
		return o
	}
	own, ok := elementsOf(o[i].value)
	if !ok || len(own) > 1 {
		return o
	}
	o = slices.Clone(o)
	if len(own) == 1 {
		o[at].value = own[0]
		return o.without(i)
	}
	o = o.without(max(i, at))
	return o.without(min(i, at))
}

// beside gives the record of what a collection says beside its features.
func (d *decoder) beside(rest object) error {
	if err := d.flush(); err != nil {
		return err
	}
	if len(rest) == 0 || len(rest) == 1 && rest.typ() == typeCollection {
		return nil
	}
	o := rest
	if o.index("type") < 0 {
		o = append(object{newMember("type", json.RawMessage(`"FeatureCollection"`))}, o...)
	}
	o = append(o, newMember("features", json.RawMessage("[]")))
	raw := o.bytes()
	return d.record(hashID(raw), raw)
}

// single gives the record of a root that is not a collection.
func (d *decoder) single(o object) error {
	switch typ := o.typ(); {
	case typ == typeFeature, isGeometry(typ):
		d.n++
		return d.element(o)
	case typ == typeCollection:
		return d.beside(o)
	default:
		return d.invalid(fmt.Sprintf("this is no GeoJSON: its type is %.40q", typ))
	}
}

func (d *decoder) record(id string, body json.RawMessage) error {
	r := formats.Record{ID: d.newID(id), Dataset: formats.Places, Kind: formats.KindFeature, Body: body}
	if !d.yield(r, nil) {
		return errStopped
	}
	return nil
}

// newID returns an id that no record before has.
func (d *decoder) newID(first string) string {
	id := first
	for d.taken[id] > 0 {
		d.taken[first]++
		if id = first + "#" + strconv.Itoa(d.taken[first]); !validID(id) {
			id = hashID([]byte(id))
		}
	}
	d.taken[id]++
	return id
}

func validID(id string) bool {
	r := formats.Record{ID: id, Dataset: formats.Places, Kind: formats.KindFeature}
	return r.Validate() == nil
}

func hashID(of []byte) string { return formats.HashOf(of).String()[:32] }
