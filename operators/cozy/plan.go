package cozy

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// class says where in an archive a document stands: an importer needs folders before the files in them, and files
// before their versions.
type class byte

const (
	plainDocument class = iota
	folderDocument
	fileDocument
	versionDocument
)

// plan says which document a record becomes.
type plan struct {
	ref     ref
	class   class
	native  object // the record's native document, if it is a Cozy's and fits; otherwise empty
	foreign *formats.Native
	path    string // of a file or folder, in the tree
	renamed bool
}

// ownFolder holds, at the top of the tree, the bytes of records that have no place of their own there.
const ownFolder = "Passerelle"

// plan decides what becomes of a record and books its id and its place, or refuses it.
func (l *load) plan(key digest, r formats.Record) (plan, *operators.Outcome) {
	if r.Blob != nil {
		if s, ok := l.blobs[r.Blob.SHA256]; !ok || s.size != r.Blob.Size {
			out := refused(r, "content-missing", "its bytes were not sent", "")
			return plan{}, &out
		}
	}
	p := l.identify(r)
	if out := l.trash(r, p); out != nil {
		return plan{}, out
	}
	doc := digestOf(p.ref.doctype + "/" + p.ref.id)
	if owner, taken := l.ids[doc]; taken && owner != key {
		out := refused(r, "id-taken", fmt.Sprintf("another record is the document %s/%s already", p.ref.doctype, p.ref.id), "")
		return plan{}, &out
	}
	if p.class == fileDocument || p.class == folderDocument && p.ref.id != rootID && p.ref.id != trashID {
		wanted := placeWanted(r)
		if len(wanted) > maxPath {
			out := refused(r, "name", fmt.Sprintf("its path is longer than %d bytes", maxPath), "Move it to a folder that is not so deep.")
			return plan{}, &out
		}
		p.path = l.places.settle(wanted, key, p.class == folderDocument)
		p.renamed = inTree(r) && p.path != r.Path
	}
	l.ids[doc] = key
	if doctype, id := defaultRef(r.Dataset, r.ID); doctype != p.ref.doctype || id != p.ref.id {
		l.aliases[key] = p.ref
	}
	return p, nil
}

// unplan gives back what plan booked.
func (l *load) unplan(key digest, p plan) {
	delete(l.ids, digestOf(p.ref.doctype+"/"+p.ref.id))
	delete(l.aliases, key)
	if p.path != "" {
		l.places.leave(p.path, key)
	}
}

// trash refuses what is in the trash, with the versions of what is: a single such item aborts an import.
func (l *load) trash(r formats.Record, p plan) *operators.Outcome {
	area, _ := formats.SplitPath(r.Path)
	file, _, _ := strings.Cut(p.ref.id, "/")
	switch {
	case area == formats.Trash:
		if p.class == fileDocument {
			l.trashed[p.ref.id] = true
		}
		out := refused(r, "trash", "it is in the trash, with which a Cozy cannot import an archive; it is left out with its earlier versions",
			"Take it out of the trash before the move if you want to keep it.")
		return &out
	case p.class == versionDocument && l.trashed[file]:
		out := refused(r, "trash", "it is an earlier version of a file in the trash, which is left out", "")
		return &out
	}
	return nil
}

// placeWanted returns where in the tree a record's file goes.
func placeWanted(r formats.Record) string {
	if inTree(r) {
		return r.Path
	}
	_, name := splitLast(cmp.Or(r.Path, r.ID))
	return formats.Tree.Place(ownFolder + "/" + string(r.Dataset) + "/" + cozyName(name))
}

// identify finds the document for a record: the one that it was in a Cozy, or one made for it.
func (l *load) identify(r formats.Record) plan {
	p := plan{foreign: r.Native}
	if r.Native != nil && doctypeForm.MatchString(r.Native.Type) {
		doc, err := parseObject(r.Native.Document)
		if err == nil && doc.text("_id") != "" && fits(r, r.Native.Type, doc) {
			p.native, p.foreign = doc, nil
			p.ref = ref{doctype: r.Native.Type, id: doc.text("_id")}
			p.class = classOfDocument(r, p.ref.doctype)
			if !importable(p.ref.doctype, p.ref.id) || p.class == versionDocument && !shaped(doctypeVersions, p.ref.id) {
				p.ref.id = l.freshID(r, p.ref.doctype)
			}
			return p
		}
	}
	p.ref.doctype = doctypeFor(r)
	p.ref.id = l.freshID(r, p.ref.doctype)
	p.class = classOfDocument(r, p.ref.doctype)
	return p
}

// fits reports whether a document can go on being the record: whether a file still has bytes and a folder none.
func fits(r formats.Record, doctype string, doc object) bool {
	switch {
	case doctype == doctypeVersions:
		return r.Kind == formats.KindVersion && r.Blob != nil
	case doctype != doctypeFiles:
		return r.Blob == nil && !strings.HasPrefix(doctype, ownPrefix)
	case doc.text("_id") == rootID || doc.text("_id") == trashID:
		return r.Kind == structuralKind && r.Blob == nil
	case r.Kind == formats.KindFolder:
		return isFolder(doc) && r.Blob == nil
	}
	return !isFolder(doc) && r.Blob != nil
}

func classOfDocument(r formats.Record, doctype string) class {
	switch {
	case doctype == doctypeVersions:
		return versionDocument
	case doctype != doctypeFiles:
		return plainDocument
	case r.Blob == nil:
		return folderDocument
	}
	return fileDocument
}

// doctypeFor returns the doctype of a record that was in no Cozy.
func doctypeFor(r formats.Record) string {
	switch {
	case r.Kind == formats.KindVersion && r.Blob != nil && fileLink(r) != "":
		return doctypeVersions
	case r.Blob != nil, r.Kind == formats.KindFolder && r.Path != "":
		return doctypeFiles
	}
	switch r.Kind {
	case formats.KindAlbum:
		return doctypeAlbums
	case formats.KindCard:
		if card := objectOf(compact(r.Body)); card.text("kind") == groupKind {
			return doctypeGroups
		}
		return doctypeContacts
	case formats.KindEvent:
		return doctypeEvents
	case formats.KindAccount:
		return doctypeAccounts
	case formats.KindOperation:
		return doctypeOperations
	case formats.KindBill:
		return doctypeBills
	case formats.KindFeature:
		return doctypeTrips
	case formats.KindReading:
		if reading, err := formats.BodyAs[formats.EnergyReading](r); err == nil && meterDoctype(reading) != "" {
			return meterDoctype(reading)
		}
	}
	return ownPrefix + string(r.Dataset)
}

// fileLink returns the record id of the file of which a record is a version.
func fileLink(r formats.Record) string {
	for _, link := range r.Links {
		if link.Rel == relFile && link.Dataset == formats.Files {
			return link.ID
		}
	}
	return ""
}

// freshID returns the id of a document that was in no Cozy: that of the record, if it looks like one.
func (l *load) freshID(r formats.Record, doctype string) string {
	if was, id := documentID(r.Dataset, r.ID); was == doctype && shaped(doctype, id) {
		return id
	}
	if doctype == doctypeVersions {
		return l.resolve(formats.Link{Rel: relFile, Dataset: formats.Files, ID: fileLink(r)}).id + "/1-" + madeID(r.Dataset, r.ID)
	}
	return madeID(r.Dataset, r.ID)
}

// resolve turns a link into one of a document.
func (l *load) resolve(link formats.Link) ref {
	to, known := l.aliases[linkKey(link)]
	if !known {
		to.doctype, to.id = defaultRef(link.Dataset, link.ID)
	}
	to.rel = link.Rel
	return to
}

// linkKey is the recordKey of the record to which a link leads.
func linkKey(link formats.Link) digest { return digestOf(string(link.Dataset) + "\x00" + link.ID) }
