package formats

import (
	"encoding/json"
	"fmt"
	"time"
)

// Day returns the day that a record is about, YYYY-MM-DD: of an operation when it was booked, of an event when it
// starts, of a reading when its interval begins, of a file when it was last changed; of what has no day of its own when
// the record was made. It is empty where nothing tells.
func (r *Record) Day() string {
	for _, name := range dayMembers[r.Kind] {
		if text := textMember(r.Body, name); len(text) >= len(time.DateOnly) {
			if day := text[:len(time.DateOnly)]; isDay(day) {
				return day
			}
		}
	}
	if _, dated := dayMembers[r.Kind]; dated {
		return ""
	}
	at := r.Modified
	if at.IsZero() || r.Kind == KindCard {
		at = r.Created
	}
	if at.IsZero() {
		at = r.Modified
	}
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.DateOnly)
}

// dayMembers are the members of bodies that say which day it is about, the first that is there.
var dayMembers = map[Kind][]string{
	KindOperation: {"bookingDate", "valueDate", "transactionDate"},
	KindBill:      {"date"},
	KindMatch:     {"date"},
	KindAlert:     {"date"},
	KindReading:   {"start"},
	KindEvent:     {"start"},
	KindTask:      {"start", "due"},
}

func isDay(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

func textMember(object json.RawMessage, name string) (text string) {
	_ = members(object, func(member, value []byte) {
		if string(member) == name && len(value) > 1 && value[0] == '"' {
			if json.Unmarshal(value, &text) != nil {
				text = ""
			}
		}
	})
	return text
}

// AppendMembers appends those members of a JSON object whose names are wanted, as they are and in their order, as an
// object. White space between them goes.
func AppendMembers(dst []byte, object json.RawMessage, want func(name string) bool) ([]byte, error) {
	dst = append(dst, '{')
	first := true
	err := members(object, func(name, value []byte) {
		if !want(string(name)) {
			return
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(AppendString(dst, string(name)), ':')
		dst = append(dst, value...)
	})
	return append(dst, '}'), err
}

// members gives each member of a JSON object: its name without quotes and escapes, and its value.
func members(object []byte, each func(name, value []byte)) error {
	i := space(object, 0)
	if i >= len(object) || object[i] != '{' {
		return fmt.Errorf("%w: not a JSON object", ErrInvalid)
	}
	for i = space(object, i+1); i < len(object) && object[i] != '}'; {
		end := stringEnd(object, i)
		if end < 0 {
			break
		}
		name := object[i+1 : end-1]
		for _, c := range name {
			if c == '\\' {
				var text string
				if err := json.Unmarshal(object[i:end], &text); err != nil {
					return fmt.Errorf("%w: %w", ErrInvalid, err)
				}
				name = []byte(text)
				break
			}
		}
		i = space(object, end)
		if i >= len(object) || object[i] != ':' {
			break
		}
		begin := space(object, i+1)
		if end = anyEnd(object, begin); end < 0 {
			break
		}
		each(name, object[begin:end])
		if i = space(object, end); i < len(object) && object[i] == ',' {
			i = space(object, i+1)
		}
	}
	if i >= len(object) || object[i] != '}' {
		return fmt.Errorf("%w: not a JSON object", ErrInvalid)
	}
	return nil
}

// space returns where something other than white space is.
func space(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns where a string that begins at i ends, or -1.
func stringEnd(text []byte, i int) int {
	if i >= len(text) || text[i] != '"' {
		return -1
	}
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// anyEnd returns where a value that begins at i ends, or -1.
func anyEnd(text []byte, i int) int {
	if i >= len(text) {
		return -1
	}
	switch text[i] {
	case '"':
		return stringEnd(text, i)
	case '{', '[':
		if end := valueEnd(text[i:]); end >= 0 {
			return i + end
		}
		return -1
	}
	start := i
	for i < len(text) && text[i] != ',' && text[i] != '}' && text[i] != ']' && text[i] > ' ' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}
