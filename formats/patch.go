package formats

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// PatchObject says how an object differs from another: a JSON pointer without its leading slash to the new value, or
// to null where a member is removed (RFC 8984 section 1.4.9, RFC 9553 section 1.4.3). Beyond the standards, an empty
// pointer is the whole object.
type PatchObject map[string]json.RawMessage

// Difference returns the patch that turns one JSON object into another. Arrays are whole values.
func Difference(have, want json.RawMessage) PatchObject {
	patch := PatchObject{}
	if !patch.addDifference("", have, want) {
		return PatchObject{"": want}
	}
	return patch
}

// addDifference adds the difference below a pointer. It returns false where only replacing the object itself says it
// all; what it added until then does not matter.
func (p PatchObject) addDifference(at string, have, want json.RawMessage) bool {
	from, to := membersOf(have), membersOf(want)
	if from == nil || to == nil {
		return false
	}
	for name := range from {
		if _, stays := to[name]; !stays {
			to[name] = nil
		}
	}
	inner := PatchObject{}
	for name, value := range to {
		had, has := from[name]
		if has && value != nil && sameJSON(had, value) {
			continue
		}
		pointer := strings.TrimPrefix(at+"/"+pointerEscaper.Replace(name), "/")
		switch {
		case string(value) == "null" || pointer == "" || strings.ContainsFunc(name, isControl):
			return false // a patch would remove it, or nothing could name it
		case value == nil:
			inner[pointer] = json.RawMessage("null")
		case !has || !inner.addDifference(pointer, had, value):
			inner[pointer] = value
		}
	}
	maps.Copy(p, inner)
	return true
}

// Apply returns the object with the patch applied. A pointer that leads nowhere changes nothing.
func (p PatchObject) Apply(object json.RawMessage) (json.RawMessage, error) {
	if len(p) == 0 {
		return object, nil
	}
	t := tree{}
	t.open(object)
	for _, pointer := range slices.Sorted(maps.Keys(p)) {
		if pointer == "" {
			t.open(p[pointer])
			continue
		}
		t.set(strings.Split(pointer, "/"), p[pointer])
	}
	return MarshalBody(t)
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

// Replacers of RFC 6901 section 3.
var (
	pointerEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

// membersOf returns the members of a JSON object, or nil if raw is none.
func membersOf(raw json.RawMessage) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

// sameJSON reports whether two JSON values are equal: members in any order, numbers by their digits.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var values [2]any
	for i, raw := range []json.RawMessage{a, b} {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if dec.Decode(&values[i]) != nil {
			return false
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}

// tree is an object of which those members are decoded that a patch leads through, so that each is decoded once.
// Values are trees or [json.RawMessage].
type tree map[string]any

// open replaces the tree by an object. It does nothing for what is none.
func (t tree) open(raw json.RawMessage) bool {
	members := membersOf(raw)
	if members == nil {
		return false
	}
	clear(t)
	for name, value := range members {
		t[name] = value
	}
	return true
}

func (t tree) set(path []string, value json.RawMessage) {
	for len(path) > 1 {
		name := pointerUnescaper.Replace(path[0])
		inner, ok := t[name].(tree)
		if !ok {
			raw, _ := t[name].(json.RawMessage)
			if inner = (tree{}); !inner.open(raw) {
				return
			}
			t[name] = inner
		}
		t, path = inner, path[1:]
	}
	name := pointerUnescaper.Replace(path[0])
	if string(value) == "null" {
		delete(t, name)
		return
	}
	t[name] = value
}
