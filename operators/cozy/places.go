package cozy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/passerelle-cloud/passerelle/formats"
)

var errPosition = errors.New("a position is neither [longitude, latitude] nor the reverse")

// tripMembers are what a trip says beside its features. RFC 7946 section 6.1 lets a FeatureCollection carry them;
// its section 7.1 forbids "properties" there, so that those of a series stay in the native document.
var tripMembers = [...]string{"startDate", "endDate", "title", "source", "theme", "aggregation"}

// maxNesting bounds how deep collections in collections, or geometries in geometries, are followed.
const maxNesting = 32

// readTrip makes one FeatureCollection of all series of a trip. Sections of a trip are collections inside the
// collection, which GeoJSON does not allow: their features are put in their place.
//
// RFC 7946 says [longitude, latitude], and so do most trips; some programs wrote the reverse. The order is swapped
// only where the positions of a trip cannot be meant otherwise, and the swap is reported.
func readTrip(_ string, doc object, into *reading) error {
	var t trip
	for _, raw := range elements(doc.get("series")) {
		if err := t.collect(raw, 0); err != nil {
			return err
		}
	}
	if t.bounds.impossible() {
		if !t.bounds.swappable() {
			return fmt.Errorf("%w: %v", formats.ErrInvalid, errPosition)
		}
		t.swap()
		into.fault("coordinates-swapped",
			"the positions of the trip are written [latitude, longitude]; in the body they are turned round as RFC 7946 wants them", false)
	}
	var body object
	body.setText("type", "FeatureCollection")
	body.set("features", joined(t.features))
	for _, name := range tripMembers {
		if raw := doc.get(name); raw != nil {
			body.set(name, raw)
		}
	}
	into.body = body.bytes()
	return nil
}

// joined writes a JSON array.
func joined(items []json.RawMessage) json.RawMessage {
	out := []byte{'['}
	for i, item := range items {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, item...)
	}
	return append(out, ']')
}

// fillTrip writes the features as a single series.
func fillTrip(_ string, doc *object, body json.RawMessage) error {
	o, err := parseObject(body)
	if err != nil {
		return err
	}
	series := object{}
	series.setText("type", "FeatureCollection")
	switch o.text("type") {
	case "FeatureCollection":
		series.set("features", o.get("features"))
		for _, name := range tripMembers {
			doc.set(name, o.get(name))
		}
	case "Feature":
		series.set("features", joined([]json.RawMessage{o.bytes()}))
	default:
		return fmt.Errorf("%w: a body of GeoJSON type %q", formats.ErrInvalid, o.text("type"))
	}
	doc.set("series", joined([]json.RawMessage{series.bytes()}))
	return nil
}

// trip is what is gathered from a trip's document.
type trip struct {
	features []json.RawMessage
	bounds   bounds
}

// collect adds the features of a FeatureCollection, or one Feature.
func (t *trip) collect(raw json.RawMessage, depth int) error {
	o := objectOf(raw)
	switch kind := o.text("type"); {
	case depth > maxNesting:
		return fmt.Errorf("%w: more than %d collections inside each other", formats.ErrInvalid, maxNesting)
	case kind == "FeatureCollection":
		for _, feature := range elements(o.get("features")) {
			if err := t.collect(feature, depth+1); err != nil {
				return err
			}
		}
		return nil
	case kind == "Feature":
		return t.add(o)
	default:
		return fmt.Errorf("%w: a series holds a %q where a Feature should be", formats.ErrInvalid, kind)
	}
}

// add takes a feature and gives it the members that RFC 7946 section 3.2 asks for.
func (t *trip) add(feature object) error {
	feature = feature.clone()
	if geometry := feature.get("geometry"); geometry == nil {
		feature.set("geometry", json.RawMessage("null"))
	} else {
		g, err := t.bounds.geometry(objectOf(geometry), false, 0)
		if err != nil {
			return err
		}
		feature.set("geometry", g)
	}
	if p := feature.get("properties"); p == nil || p[0] != '{' {
		feature.set("properties", json.RawMessage("null"))
	}
	t.features = append(t.features, feature.bytes())
	return nil
}

// swap turns every position round. The geometries have been checked.
func (t *trip) swap() {
	for i, raw := range t.features {
		feature := objectOf(raw)
		if geometry := feature.get("geometry"); geometry != nil {
			var ignored bounds
			if g, err := ignored.geometry(objectOf(geometry), true, 0); err == nil {
				feature.set("geometry", g)
				t.features[i] = feature.bytes()
			}
		}
	}
}

// bounds are how far the positions of a trip reach, by place in the position and not by what they mean.
type bounds struct{ first, second float64 }

func (b bounds) impossible() bool { return b.second > 90 || b.first > 180 }
func (b bounds) swappable() bool  { return b.first <= 90 && b.second <= 180 }

// depthOf returns how many arrays hold a position in the coordinates of a geometry (RFC 7946 section 3.1).
func depthOf(kind string) (int, bool) {
	switch kind {
	case "Point":
		return 0, true
	case "MultiPoint", "LineString":
		return 1, true
	case "Polygon", "MultiLineString":
		return 2, true
	case "MultiPolygon":
		return 3, true
	}
	return 0, false
}

// geometry checks a geometry, widens the bounds by its positions and turns these round if asked to. A line of a
// single position, which a trip that went nowhere has, becomes the point that it is.
func (b *bounds) geometry(g object, swap bool, depth int) (json.RawMessage, error) {
	g = g.clone()
	kind := g.text("type")
	if kind == "GeometryCollection" && depth < maxNesting {
		var inner []json.RawMessage
		for _, raw := range elements(g.get("geometries")) {
			one, err := b.geometry(objectOf(raw), swap, depth+1)
			if err != nil {
				return nil, err
			}
			inner = append(inner, one)
		}
		g.set("geometries", joined(inner))
		return g.bytes(), nil
	}
	levels, ok := depthOf(kind)
	if !ok {
		return nil, fmt.Errorf("%w: geometry of type %q", formats.ErrInvalid, kind)
	}
	coordinates, err := b.positions(g.get("coordinates"), levels, swap)
	if err != nil {
		return nil, err
	}
	if line := elements(coordinates); kind == "LineString" && len(line) == 1 {
		g.setText("type", "Point")
		coordinates = line[0]
	}
	g.set("coordinates", coordinates)
	return g.bytes(), nil
}

// positions walks nested arrays down to positions. The digits of numbers are never touched.
func (b *bounds) positions(raw json.RawMessage, levels int, swap bool) (json.RawMessage, error) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, fmt.Errorf("%w: coordinates %.40q are no array", formats.ErrInvalid, raw)
	}
	list := elements(raw)
	if levels == 0 {
		return b.position(list, swap)
	}
	for i, inner := range list {
		p, err := b.positions(inner, levels-1, swap)
		if err != nil {
			return nil, err
		}
		list[i] = p
	}
	return joined(list), nil
}

func (b *bounds) position(p []json.RawMessage, swap bool) (json.RawMessage, error) {
	if len(p) < 2 {
		return nil, fmt.Errorf("%w: a position has %d numbers", formats.ErrInvalid, len(p))
	}
	for i, raw := range p {
		// Only compared with a limit, never written back.
		f, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			return nil, fmt.Errorf("%w: %.40q in a position is no number", formats.ErrInvalid, raw)
		}
		switch i {
		case 0:
			b.first = max(b.first, f, -f)
		case 1:
			b.second = max(b.second, f, -f)
		}
	}
	if swap {
		p[0], p[1] = p[1], p[0]
	}
	return joined(p), nil
}
