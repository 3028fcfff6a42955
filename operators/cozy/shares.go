package cozy

import (
	"github.com/passerelle-cloud/passerelle/formats"
)

const relShared = "shared"

// readPermission reads what a program, or whoever holds a link, may do. The codes of links stay in the native
// document: they are what the person gave away, not a secret of theirs.
func readPermission(_ string, doc object, into *reading) error {
	share := formats.Share{Type: "app", Title: doc.text("source_id"), Expires: doc.text("expires_at")}
	codes := doc.object("codes")
	if kind := doc.text("type"); kind == "share" || kind == "share-preview" || len(codes.members) > 0 {
		share.Type = "link"
	}
	rules := doc.object("permissions")
	for _, m := range rules.members {
		rule := objectOf(m.raw)
		share.Rules = append(share.Rules, formats.ShareRule{
			Type: rule.text("type"), Values: rule.texts("values"), Actions: rule.texts("verbs"),
		})
		into.shared(rule, rule.text("type"))
	}
	return into.setBody(share)
}

// readSharing reads a share among several Cozys.
func readSharing(_ string, doc object, into *reading) error {
	share := formats.Share{Type: "members", Title: doc.text("description")}
	for _, raw := range elements(doc.get("members")) {
		m := objectOf(raw)
		name := m.text("public_name")
		if name == "" {
			name = m.text("name")
		}
		share.Members = append(share.Members, formats.ShareMember{Name: name, Email: m.text("email"), Status: m.text("status")})
	}
	for _, raw := range elements(doc.get("rules")) {
		rule := objectOf(raw)
		share.Rules = append(share.Rules, formats.ShareRule{
			Type: rule.text("doctype"), Values: rule.texts("values"), Actions: verbsOf(rule),
		})
		into.shared(rule, rule.text("doctype"))
	}
	return into.setBody(share)
}

// verbsOf turns what a rule of a sharing lets pass into the words of permissions.
func verbsOf(rule object) []string {
	verbs := []string{"GET"}
	for _, v := range []struct{ member, verb string }{{"add", "POST"}, {"update", "PUT"}, {"remove", "DELETE"}} {
		if rule.text(v.member) == "sync" {
			verbs = append(verbs, v.verb)
		}
	}
	return verbs
}

// shared links to the documents that a rule names by their ids; a rule may also name them by another member.
func (r *reading) shared(rule object, doctype string) {
	if s := rule.text("selector"); s != "" && s != "id" && s != "_id" || doctype == "" {
		return
	}
	for _, id := range rule.texts("values") {
		r.refs = append(r.refs, ref{relShared, doctype, id})
	}
}
