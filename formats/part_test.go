package formats

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestDay(t *testing.T) {
	made := time.Date(2024, 2, 29, 23, 59, 59, 0, time.UTC)
	cases := []struct {
		name string
		r    Record
		want string
	}{
		{"operation", Record{Kind: KindOperation, Body: json.RawMessage(`{"valueDate":"2025-01-03","bookingDate":"2025-01-02"}`)}, "2025-01-02"},
		{"operation that is not booked", Record{Kind: KindOperation, Body: json.RawMessage(`{"valueDate":"2025-01-03"}`)}, "2025-01-03"},
		{"operation without a day", Record{Kind: KindOperation, Created: made, Body: json.RawMessage(`{"status":"pending"}`)}, ""},
		{"bad day", Record{Kind: KindBill, Body: json.RawMessage(`{"date":"2025-02-30"}`)}, ""},
		{"escaped", Record{Kind: KindBill, Body: json.RawMessage(`{"d\u0061te":"2025-02-2\u0038"}`)}, "2025-02-28"},
		{"nested", Record{Kind: KindBill, Body: json.RawMessage(`{"x":{"date":"2020-01-01"},"date":"2025-02-28"}`)}, "2025-02-28"},
		{"reading", Record{Kind: KindReading, Body: json.RawMessage(`{"start":"2025-03-30T02:30:00"}`)}, "2025-03-30"},
		{"event", Record{Kind: KindEvent, Body: json.RawMessage(`{"start":"2025-03-30T02:30:00"}`)}, "2025-03-30"},
		{"task", Record{Kind: KindTask, Body: json.RawMessage(`{"due":"2025-03-30T02:30:00"}`)}, "2025-03-30"},
		{"file", Record{Kind: KindFile, Created: made, Modified: made.AddDate(1, 0, 0)}, "2025-03-01"},
		{"card", Record{Kind: KindCard, Created: made, Modified: made.AddDate(1, 0, 0)}, "2024-02-29"},
		{"nothing", Record{Kind: KindCard}, ""},
	}
	for _, c := range cases {
		if got := c.r.Day(); got != c.want {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
}

func TestAppendMembers(t *testing.T) {
	want := func(name string) bool { return name == "a" || name == "é" || name == "" }
	for _, c := range []struct{ in, out string }{
		{`{}`, `{}`},
		{`{"a":1}`, `{"a":1}`},
		{`{"b":1,"a":9007199254740993,"c":[{"a":1}]}`, `{"a":9007199254740993}`},
		{` { "a" : [ "]" , "\"}" ] , "\u00e9" : null , "b" : { } } `, `{"a":[ "]" , "\"}" ],"é":null}`},
		{`{"b":"a\\","a":"\\\""}`, `{"a":"\\\""}`},
		{`{"":true}`, `{"":true}`},
	} {
		got, err := AppendMembers(nil, json.RawMessage(c.in), want)
		if err != nil || string(got) != c.out {
			t.Errorf("%s: %s, %v", c.in, got, err)
		}
	}
	for _, bad := range []string{``, `[]`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":"`, `{"a":{}`, `{a:1}`, `{"a":}`} {
		if _, err := AppendMembers(nil, json.RawMessage(bad), want); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

// FuzzAppendMembers holds what is picked against a general decoder.
func FuzzAppendMembers(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"a":[2,"\""]},"c":null}`))
	f.Fuzz(func(t *testing.T, object []byte) {
		got, err := AppendMembers(nil, object, func(name string) bool { return len(name)%2 == 1 })
		var all map[string]json.RawMessage
		if !json.Valid(object) || json.Unmarshal(object, &all) != nil || all == nil {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", object, err)
		}
		var picked map[string]json.RawMessage
		if err := json.Unmarshal(got, &picked); err != nil {
			t.Fatalf("%s from %s: %v", got, object, err)
		}
		for name := range all {
			if len(name)%2 == 0 {
				delete(all, name)
			}
		}
		if len(all)+len(picked) > 0 && !reflect.DeepEqual(all, picked) && bytes.IndexByte(object, '\\') < 0 {
			t.Fatalf("%s from %s, not %s", got, object, all)
		}
	})
}
