package cozy

import (
	"encoding/json"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// readAny keeps a document whole: the body is the document without its id and revision.
func readAny(_ string, doc object, into *reading) error {
	body := doc.clone()
	body.remove("_id")
	body.remove("_rev")
	body.remove(ownMember)
	into.body = body.bytes()
	return nil
}

// fillAny is the way back.
func fillAny(_ string, doc *object, body json.RawMessage) error {
	o, err := parseObject(body)
	if err != nil {
		return err
	}
	id, rev := doc.get("_id"), doc.get("_rev")
	*doc = object{}
	doc.set("_id", id)
	doc.set("_rev", rev)
	for _, m := range o.members {
		if m.name != "_id" && m.name != "_rev" {
			doc.members = append(doc.members, allowed(m))
		}
	}
	return nil
}

// allowed gives a member of a document a name that a Cozy's database takes: it refuses those that begin with "_".
func allowed(m member) member {
	if strings.HasPrefix(m.name, "_") && m.name != "_id" {
		m.name = ownMember + m.name
		m.key = formats.AppendString(nil, m.name)
	}
	return m
}

// vaultType names the type of a cipher.
func vaultType(number string) string {
	switch number {
	case "1":
		return "login"
	case "2":
		return "note"
	case "3":
		return "card"
	case "4":
		return "identity"
	case "5":
		return "ssh-key"
	}
	return ""
}

// readVaultItem says only of what type an entry is. Its secrets stay where they are, encrypted.
func readVaultItem(doctype string, doc object, into *reading) error {
	item := formats.VaultItem{Scheme: "bitwarden"}
	switch doctype[len(vaultPrefix):] {
	case "ciphers":
		item.Type = vaultType(doc.digits("type"))
	case "folders":
		item.Type = "folder"
	case "profiles":
		item.Type = "profile"
	case "organizations":
		item.Type = "organization"
	case "contacts":
		item.Type = "contact"
	}
	if item.Type == "" {
		item.Type = "unknown"
	}
	return into.setBody(item)
}
