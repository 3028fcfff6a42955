// Package geojson writes places and trips as one GeoJSON FeatureCollection (RFC 7946) and reads GeoJSON of any root.
//
// Bodies come back byte for byte, white space between tokens apart; coordinates are never taken for numbers. A body
// that is a Feature is a feature of the file, whose id is that of the record. A body that is a FeatureCollection gives
// several, so that every program shows their geometries. What these lack to be read back stands in foreign members
// (section 6.1):
//
//	"passerelle:id"    the feature's own id in an array, which is empty if it has none; absent if it is the record's
//	"passerelle:part"  {"record": id, "index": n}: the nth feature of that record's collection. The first has
//	                   "collection" too: the body, its features left out. Instead of what is no feature it has "value".
//
// A member of a body whose name begins with "passerelle:" is written with that prefix twice.
//
// It must never know where places come from or go to, nor another codec.
package geojson

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/passerelle-cloud/passerelle/formats"
)

const (
	maxItem  = 80 << 20 // bytes of a record's features together; a record has at most 64 MiB
	maxDepth = 1000     // how deep values nest
)

// Codec returns the codec of places.
//
// Bodies that are neither a Feature nor a FeatureCollection, but still an object, are written as a feature without a
// geometry. Bodies nested deeper than 1000 levels are not written, nor are times, links, blobs and native documents.
//
// Reading gives a record for each feature. Its id is that of the feature, or a hash of a feature that has none; of two
// with the same id the second gets "#2" behind. A geometry becomes a Feature. What a collection says beside its
// features is a record of its own, a collection without features, which comes last. Geometries are not judged.
func Codec() formats.Codec {
	return formats.Codec{
		Dataset: formats.Places, MediaType: "application/geo+json", File: "places.geojson",
		Encode: write, Decode: read,
	}
}

// The types of RFC 7946 section 1.4 that are no geometries.
const (
	typeFeature    = "Feature"
	typeCollection = "FeatureCollection"
)

func isGeometry(typ string) bool {
	switch typ {
	case "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection":
		return true
	}
	return false
}

// part says what a feature of the file is in the body of a record.
type part struct {
	Record     string          `json:"record"`
	Index      *int            `json:"index,omitempty"` // nil: the body is the collection as it stands
	Collection json.RawMessage `json:"collection,omitempty"`
	Value      json.RawMessage `json:"value,omitempty"`
}

const (
	prefix     = "passerelle:"
	memberID   = prefix + "id"
	memberPart = prefix + "part"
)

func isPlace(r *formats.Record) bool {
	return r.Dataset == formats.Places && r.Kind == formats.KindFeature && r.Deleted.IsZero() && len(r.Body) > 0
}

// writer writes features into one collection, which begins with the first.
type writer struct {
	out *bufio.Writer
	n   int
}

func write(w io.Writer, records formats.Records) error {
	to := writer{out: bufio.NewWriter(w)}
	for r, err := range records {
		if err != nil {
			return err
		}
		if !isPlace(&r) {
			continue
		}
		if err := to.record(&r); err != nil {
			return err
		}
	}
	if to.n > 0 {
		to.out.WriteString("\n]}\n")
	}
	if err := to.out.Flush(); err != nil {
		return fmt.Errorf("geojson: %w", err)
	}
	return nil
}

func (w *writer) feature(o object) {
	if w.n == 0 {
		w.out.WriteString(`{"type":"FeatureCollection","features":[`)
	} else {
		w.out.WriteByte(',')
	}
	w.n++
	w.out.WriteByte('\n')
	w.out.Write(o.bytes()) // an error of a bufio.Writer stays until Flush
}

// record writes the features of a record.
func (w *writer) record(r *formats.Record) error {
	if depthOf(r.Body) > maxDepth {
		return nil
	}
	body, err := compact(r.Body)
	if err != nil {
		return fmt.Errorf("%w: body of place %q: %v", formats.ErrInvalid, r.ID, err)
	}
	o, ok := parseObject(bytes.ToValidUTF8(body, []byte("\ufffd")))
	if !ok {
		return nil
	}
	if o.typ() == typeFeature {
		w.feature(withID(o.escaped(), r.ID))
		return nil
	}
	return w.collection(r.ID, o)
}

// withID gives a feature the id of its record.
func withID(o object, id string) object {
	quoted := json.RawMessage(formats.AppendString(nil, id))
	i := o.index("id")
	if i < 0 {
		return append(object{o[0], newMember("id", quoted)}, append(o[1:], newMember(memberID, json.RawMessage("[]")))...)
	}
	own := o[i].value
	if string(own) == string(quoted) {
		return o
	}
	o[i].value = quoted
	return append(o, newMember(memberID, joined([]json.RawMessage{own})))
}

// collection writes the features of a collection, or one that stands for a body that has none.
func (w *writer) collection(id string, o object) error {
	i := o.index("features")
	var features []json.RawMessage
	whole := true
	if i >= 0 && o.typ() == typeCollection {
		if elements, ok := elementsOf(o[i].value); ok && len(elements) > 0 {
			features, whole = elements, false
			o[i].value = json.RawMessage("[]")
		}
	}
	if whole {
		return w.part(placeholder(), part{Record: id, Collection: o.bytes()})
	}
	for n, raw := range features {
		p := part{Record: id, Index: &n}
		if n == 0 {
			p.Collection = o.bytes()
		}
		feature, ok := parseObject(raw)
		if ok && feature.typ() == typeFeature {
			feature = feature.escaped()
		} else {
			feature, p.Value = placeholder(), raw
		}
		if err := w.part(feature, p); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) part(o object, p part) error {
	raw, err := formats.MarshalBody(p)
	if err != nil {
		return err
	}
	w.feature(append(o, newMember(memberPart, raw)))
	return nil
}

// placeholder is a feature that shows nothing.
func placeholder() object {
	null := json.RawMessage("null")
	return object{newMember("type", json.RawMessage(`"Feature"`)), newMember("geometry", null), newMember("properties", null)}
}
