package dav

import (
	"strings"
)

// ifHeader is the header If (RFC 4918, section 10.4): one of the lists must hold.
type ifHeader []ifList

// ifList is conditions that must all hold.
type ifList struct {
	resource   string // "": that of the request
	conditions []ifCondition
}

// ifCondition is that something has a lock's token, or an entity tag.
type ifCondition struct {
	not   bool
	token string
	etag  string
}

// parseIf reads the header.
func parseIf(text string) (ifHeader, bool) {
	var h ifHeader
	resource := ""
	for text = space(text); text != ""; text = space(text) {
		if text[0] == '<' {
			var ok bool
			if resource, text, ok = enclosed(text, '>'); !ok || len(space(text)) == 0 || space(text)[0] != '(' {
				return nil, false
			}
			continue
		}
		list, rest, ok := parseIfList(text)
		if !ok {
			return nil, false
		}
		list.resource = resource
		h, text = append(h, list), rest
	}
	return h, len(h) > 0
}

func parseIfList(text string) (l ifList, rest string, ok bool) {
	if text[0] != '(' {
		return l, "", false
	}
	for text = space(text[1:]); text != ""; text = space(text) {
		if text[0] == ')' {
			return l, text[1:], len(l.conditions) > 0
		}
		var c ifCondition
		if len(text) > 3 && strings.EqualFold(text[:3], "not") {
			c.not, text = true, space(text[3:])
		}
		switch {
		case strings.HasPrefix(text, "<"):
			c.token, text, ok = enclosed(text, '>')
		case strings.HasPrefix(text, "["):
			c.etag, text, ok = enclosed(text, ']')
		default:
			ok = false
		}
		if !ok {
			return l, "", false
		}
		l.conditions = append(l.conditions, c)
	}
	return l, "", false
}

// enclosed returns what is between the first character and the next that is end.
func enclosed(text string, end byte) (in, rest string, ok bool) {
	i := strings.IndexByte(text, end)
	if i < 2 {
		return "", "", false
	}
	return text[1:i], text[i+1:], true
}

func space(text string) string { return strings.TrimLeft(text, " \t") }

// tokens returns every lock's token that the header names: whoever knows one has submitted it, in whichever list.
func (h ifHeader) tokens() map[string]bool {
	all := map[string]bool{}
	for _, l := range h {
		for _, c := range l.conditions {
			if c.token != "" {
				all[c.token] = true
			}
		}
	}
	return all
}

// matches reports whether a header If-Match or If-None-Match names an entity tag (RFC 9110, section 13.1). Tags compare
// strongly: ours are of content.
func matches(header, etag string) bool {
	for _, one := range strings.Split(header, ",") {
		if one = strings.TrimSpace(one); one == etag && etag != "" {
			return true
		}
	}
	return false
}
