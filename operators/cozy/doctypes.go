package cozy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// The doctypes that the package treats in a way of their own.
const (
	doctypeFiles      = "io.cozy.files"
	doctypeVersions   = "io.cozy.files.versions"
	doctypeInstance   = "io.cozy.instances"
	doctypeContacts   = "io.cozy.contacts"
	doctypeGroups     = "io.cozy.contacts.groups"
	doctypeEvents     = "io.cozy.calendar.events"
	doctypeAccounts   = "io.cozy.bank.accounts"
	doctypeOperations = "io.cozy.bank.operations"
	doctypeBills      = "io.cozy.bills"
	doctypeAlbums     = "io.cozy.photos.albums"
	doctypeTrips      = "io.cozy.timeseries.geojson"
	doctypeLogins     = "io.cozy.accounts" // of connectors at other services
	doctypePermits    = "io.cozy.permissions"
	doctypeSharings   = "io.cozy.sharings"
	doctypeShared     = "io.cozy.shared"
	doctypeSettings   = "io.cozy.settings"
	doctypeCiphers    = "com.bitwarden.ciphers"

	rootID         = "io.cozy.files.root-dir"
	trashID        = "io.cozy.files.trash-dir"
	instanceID     = "io.cozy.settings.instance"
	energyPrefix   = "com.grandlyon."
	vaultPrefix    = "com.bitwarden."
	ownPrefix      = "cloud.passerelle." // documents for which a Cozy has no doctype, see own.go
	structuralKind = formats.KindDocument
)

// mainDoctype returns the doctype whose documents keep their id as record id; "" where a dataset has none.
func mainDoctype(d formats.Dataset) string {
	switch d {
	case formats.Files, formats.Notes:
		return doctypeFiles
	case formats.Contacts:
		return doctypeContacts
	case formats.Calendar:
		return doctypeEvents
	case formats.Bank:
		return doctypeOperations
	case formats.Bills, formats.Health:
		return doctypeBills
	case formats.Photos:
		return doctypeAlbums
	case formats.Places:
		return doctypeTrips
	case formats.Passwords:
		return doctypeCiphers
	case formats.Shares:
		return doctypePermits
	case formats.Settings:
		return doctypeSettings
	}
	return ""
}

// recordID returns the record id of a document, by the rule in the package's comment. An id that a record cannot
// have (too long, control characters) is replaced by its hash; the true one stays in the native document. So is a
// doctype of that kind, which no Cozy has.
func recordID(d formats.Dataset, doctype, id string) string {
	if doctype == mainDoctype(d) && !strings.Contains(id, "/") && recordable(id) {
		return id
	}
	if full := doctype + "/" + id; recordable(full) {
		return full
	}
	sum := sha256.Sum256([]byte(id))
	if hashed := doctype + "/sha256-" + hex.EncodeToString(sum[:]); recordable(hashed) {
		return hashed
	}
	sum = sha256.Sum256([]byte(doctype + "/" + id))
	return "sha256-" + hex.EncodeToString(sum[:])
}

func recordable(id string) bool {
	r := formats.Record{ID: id, Dataset: formats.Other, Kind: formats.KindDocument}
	return r.Validate() == nil
}

var doctypeForm = regexp.MustCompile(`^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)+$`)

// documentID is the way back from recordID: the doctype and the id of the document. The doctype is empty for an id
// that the rule cannot have made.
func documentID(d formats.Dataset, id string) (string, string) {
	doctype, rest, slash := strings.Cut(id, "/")
	if !slash {
		return mainDoctype(d), id
	}
	if doctypeForm.MatchString(doctype) && rest != "" {
		return doctype, rest
	}
	return "", id
}

// ref is a link as documents hold it.
type ref struct{ rel, doctype, id string }

// reading is what a document says, in the words of formats. Links are not resolved yet: which dataset a file or a
// bill is in, its own document says.
type reading struct {
	dataset           formats.Dataset
	kind              formats.Kind
	body              json.RawMessage
	refs              []ref
	created, modified time.Time
	faults            []operators.Omission // without dataset, id and path
	own               *own                 // what a target of this package added, if it still holds
}

// mapping turns the documents of a doctype into a body and back. Fill writes what the body says over a document,
// which may be empty; it is nil where only a Cozy makes such documents.
type mapping struct {
	dataset formats.Dataset
	kind    formats.Kind
	read    func(doctype string, doc object, into *reading) error
	fill    func(doctype string, doc *object, body json.RawMessage) error
}

// mappingOf returns how a doctype is read and written. The doctype of files is not among them, see fileMapping.
func mappingOf(doctype string) mapping {
	switch doctype {
	case doctypeVersions:
		return mapping{formats.Files, formats.KindVersion, readVersion, fillVersion}
	case doctypeContacts:
		return mapping{formats.Contacts, formats.KindCard, readContact, fillContact}
	case doctypeGroups:
		return mapping{formats.Contacts, formats.KindCard, readGroup, fillGroup}
	case doctypeEvents:
		return mapping{formats.Calendar, formats.KindEvent, readEvent, fillEvent}
	case doctypeAccounts:
		return mapping{formats.Bank, formats.KindAccount, readAccount, fillAccount}
	case doctypeOperations:
		return mapping{formats.Bank, formats.KindOperation, readOperation, fillOperation}
	case doctypeBills:
		return mapping{formats.Bills, formats.KindBill, readBill, fillBill}
	case doctypeAlbums:
		return mapping{formats.Photos, formats.KindAlbum, readAlbum, fillAlbum}
	case doctypeTrips:
		return mapping{formats.Places, formats.KindFeature, readTrip, fillTrip}
	case doctypePermits:
		return mapping{formats.Shares, formats.KindShare, readPermission, nil}
	case doctypeSharings:
		return mapping{formats.Shares, formats.KindShare, readSharing, nil}
	case doctypeShared:
		return mapping{formats.Shares, formats.KindDocument, readAny, fillAny}
	case doctypeInstance, "io.cozy.identities":
		return mapping{formats.Settings, formats.KindSetting, readAny, fillAny}
	}
	return familyOf(doctype)
}

// familyOf returns the mapping of those doctypes that are known by the form of their name.
func familyOf(doctype string) mapping {
	switch {
	case strings.HasPrefix(doctype, energyPrefix) && knownMeter(doctype):
		return mapping{formats.Energy, formats.KindReading, readMeter, fillMeter}
	case strings.HasPrefix(doctype, vaultPrefix):
		return mapping{formats.Passwords, formats.KindVaultItem, readVaultItem, nil}
	case doctype == doctypeSettings, strings.HasPrefix(doctype, "io.cozy.") && strings.HasSuffix(doctype, ".settings"):
		return mapping{formats.Settings, formats.KindSetting, readAny, fillAny}
	}
	return mapping{formats.Other, formats.KindDocument, readAny, fillAny}
}

// fileMapping returns the mapping of a document of io.cozy.files: a folder, a note or a file.
func fileMapping(doc object) mapping {
	switch {
	case doc.text("_id") == rootID || doc.text("_id") == trashID:
		return mapping{formats.Other, structuralKind, readAny, fillAny}
	case isFolder(doc):
		return mapping{formats.Files, formats.KindFolder, readFolder, fillFolder}
	case isNote(doc):
		return mapping{formats.Notes, formats.KindNote, readNote, fillNote}
	}
	return mapping{formats.Files, formats.KindFile, readFile, fillFile}
}

// mappingFor returns how one document is read and written.
func mappingFor(doctype string, doc object) mapping {
	if doctype == doctypeFiles {
		return fileMapping(doc)
	}
	return mappingOf(doctype)
}

// read says what a document means. A document that its mapping cannot read is kept as it is, as a document of the
// same dataset, with a fault that says why.
func read(doctype string, doc object) reading {
	m := mappingFor(doctype, doc)
	r := reading{dataset: m.dataset, kind: m.kind}
	r.created, r.modified = times(doc)
	if err := m.read(doctype, doc, &r); err != nil {
		r = reading{dataset: m.dataset, kind: formats.KindDocument, created: r.created, modified: r.modified}
		r.fault("not-understood", "the document does not have the form of its doctype and is carried as it is: "+err.Error(), false)
		readAny(doctype, doc, &r)
	}
	r.refs = append(r.refs, relationships(doc)...)
	r.refs = compactRefs(r.refs)
	r.restore(doc)
	return r
}

func (r *reading) fault(code, reason string, lost bool) {
	r.faults = append(r.faults, operators.Omission{Code: code, Reason: sentence(reason), Lost: lost})
}

// sentence makes a reason begin with a capital and end with a full stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

// times returns when a document was made and last changed. The dates of the file or sharing itself come before those
// of the database entry.
func times(doc object) (created, modified time.Time) {
	meta := doc.object("cozyMetadata")
	if created = instant(doc.text("created_at")); created.IsZero() {
		created = instant(meta.text("createdAt"))
	}
	if modified = instant(doc.text("updated_at")); modified.IsZero() {
		modified = instant(meta.text("updatedAt"))
	}
	return created, modified
}

// relName and memberName turn the name of a relationship into the word that records use, and back.
func relName(member string) string {
	if member == "groups" {
		return "group"
	}
	return member
}

func memberName(rel string) string {
	if rel == "group" {
		return "groups"
	}
	return rel
}

// relationships returns the links in "relationships": {name: {data: {_id, _type}}} or data: [{…}].
func relationships(doc object) []ref {
	var refs []ref
	rels := doc.object("relationships")
	for _, m := range rels.members {
		inner := objectOf(m.raw)
		data := inner.get("data")
		list := elements(data)
		if list == nil {
			list = []json.RawMessage{data}
		}
		for _, raw := range list {
			to := objectOf(raw)
			if id, doctype := to.text("_id"), to.text("_type"); id != "" && doctype != "" {
				refs = append(refs, ref{relName(m.name), doctype, id})
			}
		}
	}
	return refs
}

// setRelationships replaces the relationships by refs.
func setRelationships(doc *object, refs []ref) {
	rels := doc.object("relationships")
	for _, m := range slices.Clone(rels.members) {
		rest := objectOf(m.raw)
		if rest.remove("data"); len(rest.members) == 0 {
			rels.remove(m.name)
		} else {
			rels.set(m.name, rest.bytes())
		}
	}
	for len(refs) > 0 {
		rel := refs[0].rel
		same := slices.DeleteFunc(slices.Clone(refs), func(r ref) bool { return r.rel != rel })
		refs = slices.DeleteFunc(refs, func(r ref) bool { return r.rel == rel })
		into := rels.object(memberName(rel))
		into.set("data", refData(same, rel == "group" || len(same) > 1))
		rels.set(memberName(rel), into.bytes())
	}
	doc.setObject("relationships", rels)
}

func refData(refs []ref, list bool) json.RawMessage {
	var out []byte
	for i, r := range refs {
		if i > 0 {
			out = append(out, ',')
		}
		var o object
		o.setText("_id", r.id)
		o.setText("_type", r.doctype)
		out = append(out, o.bytes()...)
	}
	if list {
		out = append(append([]byte{'['}, out...), ']')
	}
	return out
}

// compactRefs sorts links and drops those that are said twice.
func compactRefs(refs []ref) []ref {
	slices.SortFunc(refs, func(a, b ref) int {
		return strings.Compare(a.rel+"\x00"+a.doctype+"\x00"+a.id, b.rel+"\x00"+b.doctype+"\x00"+b.id)
	})
	return slices.Compact(refs)
}

// setRefs writes the links of a document where its doctype has them.
func setRefs(doctype string, doc *object, refs []ref) {
	refs = slices.Clone(refs)
	switch doctype {
	case doctypeFiles:
		refs = setFileRefs(doc, refs)
	case doctypeOperations:
		refs = setOperationRefs(doc, refs)
	case doctypeBills:
		refs = setBillRefs(doc, refs)
	case doctypePermits, doctypeSharings:
		refs = slices.DeleteFunc(refs, func(r ref) bool { return r.rel == relShared }) // the rules say them
	}
	setRelationships(doc, refs)
}

// take returns the links of one relation and the others.
func take(refs []ref, rel string) (of, others []ref) {
	for _, r := range refs {
		if r.rel == rel {
			of = append(of, r)
		} else {
			others = append(others, r)
		}
	}
	return of, others
}
