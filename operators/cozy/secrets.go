package cozy

import (
	"encoding/json"
	"strings"
)

// secretive reports whether the documents of a doctype may hold secrets in clear. Passwords of connectors are
// encrypted by a Cozy, but what a connector wrote itself (tokens, sessions) is not.
func secretive(doctype string) bool {
	switch doctype {
	case doctypeLogins, doctypeSharings, doctypeInstance, "io.cozy.oauth.clients", "io.cozy.oauth.access_codes",
		"io.cozy.sessions", "io.cozy.sessions.logins":
		return true
	}
	return false
}

// withoutSecrets removes the secrets that can be read from a document and returns where they were, as "auth.password".
func withoutSecrets(doc *object) []string {
	return strip(doc, "", 0)
}

func strip(doc *object, at string, depth int) []string {
	var found []string
	for _, m := range append([]member(nil), doc.members...) {
		where := at + m.name
		if secretName(m.name) && holdsSomething(m.raw) {
			doc.remove(m.name)
			found = append(found, where)
			continue
		}
		if raw, inside := stripValue(m.raw, where+".", depth+1); len(inside) > 0 {
			doc.set(m.name, raw)
			found = append(found, inside...)
		}
	}
	return found
}

func stripValue(raw json.RawMessage, at string, depth int) (json.RawMessage, []string) {
	if len(raw) == 0 {
		return raw, nil
	}
	if depth > maxNesting && (raw[0] == '{' || raw[0] == '[') {
		return json.RawMessage("null"), []string{strings.TrimSuffix(at, ".")} // nobody looks so deep: out it goes
	}
	switch raw[0] {
	case '{':
		inner := objectOf(raw)
		found := strip(&inner, at, depth)
		return inner.bytes(), found
	case '[':
		list := elements(raw)
		var found []string
		for i, one := range list {
			kept, inside := stripValue(one, at, depth+1)
			list[i] = kept
			found = append(found, inside...)
		}
		return joined(list), found
	}
	return raw, nil
}

// holdsSomething reports whether a value can be a secret: null, truth values and empty ones are none.
func holdsSomething(raw json.RawMessage) bool {
	switch string(raw) {
	case "null", "true", "false", `""`, "{}", "[]":
		return false
	}
	return true
}

// secretName reports whether a member of that name holds a secret in clear.
func secretName(name string) bool {
	n := strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
	if strings.HasSuffix(n, "encrypted") || strings.HasPrefix(n, "encrypted") {
		return false
	}
	switch n {
	case "pin", "otp", "cookie", "cookies", "cookiejar", "session", "sessionid", "twofacode", "authorization", "bearer",
		"apikey", "privatekey", "xorkey":
		return true
	}
	for _, word := range []string{"password", "passwd", "passphrase", "secret", "token"} {
		if strings.Contains(n, word) && !strings.HasSuffix(n, "defined") {
			return !strings.HasSuffix(n, "expiresat") && !strings.HasSuffix(n, "type") && !strings.HasSuffix(n, "expiration")
		}
	}
	return false
}
