package cozy

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// notices are what the person should know of a document that is written and still not quite what the record was.
type notices struct {
	code    string // of the first
	reasons []string
}

func (n *notices) add(code, reason string) {
	n.code = cmp.Or(n.code, code)
	n.reasons = append(n.reasons, sentence(reason))
}

// omission makes one omission of all notices; it is nil if there are none.
func (n *notices) omission(r formats.Record) *operators.Omission {
	if len(n.reasons) == 0 {
		return nil
	}
	return &operators.Omission{Dataset: r.Dataset, ID: r.ID, Path: r.Path, Code: n.code, Reason: strings.Join(n.reasons, " ")}
}

// document writes the document of a record. Dir is the id of the folder that a file or folder is in.
func (l *load) document(r formats.Record, p plan, dir string) (json.RawMessage, *notices, error) {
	var n notices
	doc := p.native.clone()
	doc.remove("_rev") // a Cozy gives its own
	n.rename(&doc)
	if doc.text("_id") != p.ref.id {
		doc.remove("_id")
		doc.members = slices.Insert(doc.members, 0, member{key: json.RawMessage(`"_id"`), name: "_id", raw: formats.AppendString(nil, p.ref.id)})
	}
	l.frame(&doc, r, p, dir)
	partial, err := write(p.ref.doctype, &doc, l.wanted(r, p))
	if err != nil {
		return nil, nil, err
	}
	text := doc.bytes()
	l.notice(&n, r, p, doc, partial)
	if number := rounded(text); number != "" {
		n.add("number", fmt.Sprintf("the archive holds the number %.60s exactly, but a Cozy keeps numbers as 64-bit floats and will round it", number))
	}
	return text, &n, nil
}

// rename gives members of the document a name that a Cozy takes, and says so.
func (n *notices) rename(doc *object) {
	for i, m := range doc.members {
		if to := allowed(m); to.name != m.name {
			doc.members[i] = to
			n.add("name", fmt.Sprintf("a Cozy takes no document with a member %q at its top; it is called %q", m.name, to.name))
		}
	}
}

// wanted says what the document of a record shall say.
func (l *load) wanted(r formats.Record, p plan) wanted {
	w := wanted{dataset: r.Dataset, kind: r.Kind, body: r.Body, created: r.Created, modified: r.Modified, foreign: p.foreign}
	if len(w.body) == 0 {
		w.body = json.RawMessage("{}")
	}
	if placed := p.class == versionDocument || p.path != "" && inTree(r); !placed && (r.Path != "" || p.path != "") {
		w.path = &r.Path
	}
	w.refs = l.refs(r, p)
	return w
}

// refs turns the links of a record into those of its document. A link that the native document has is left as it is
// unless the load knows better, even if it leads to nothing.
func (l *load) refs(r formats.Record, p plan) []ref {
	var refs, native []ref
	if len(r.Links) > 0 && len(p.native.members) > 0 {
		native = read(p.ref.doctype, p.native).refs
	}
	for _, link := range r.Links {
		to := l.resolve(link)
		if _, known := l.aliases[linkKey(link)]; !known {
			for _, n := range native {
				if n.rel == link.Rel && recordID(link.Dataset, n.doctype, n.id) == link.ID && importable(n.doctype, n.id) {
					to = n
				}
			}
		}
		refs = append(refs, to)
	}
	return compactRefs(refs)
}

// frame sets the members that a Cozy needs of a file, a folder or a version, whatever the body says.
func (l *load) frame(doc *object, r formats.Record, p plan, dir string) {
	if p.class == plainDocument || p.ref.id == rootID || p.ref.id == trashID {
		return
	}
	if p.class != versionDocument {
		_, name := splitLast(p.path)
		doc.setText("type", fileType)
		doc.setText("name", name)
		doc.setText("dir_id", dir)
		l.setStamp(doc, "created_at", cmp.Or(r.Created, r.Modified))
	}
	l.setStamp(doc, "updated_at", cmp.Or(r.Modified, r.Created))
	if p.class == folderDocument {
		doc.setText("type", folderType)
		doc.setText("path", strings.TrimPrefix(p.path, string(formats.Tree)))
		return
	}
	s := l.blobs[r.Blob.SHA256]
	if doc.digits("size") != strconv.FormatInt(s.size, 10) || doc.text("size") == "" {
		doc.setText("size", strconv.FormatInt(s.size, 10))
	}
	doc.setText("md5sum", base64.StdEncoding.EncodeToString(s.md5[:]))
	if p.class == versionDocument && refTo(relationships(*doc), relFile) == "" {
		setRelationships(doc, []ref{{relFile, doctypeFiles, fileOf(p.ref.id)}})
	}
	if p.class == fileDocument {
		setMime(doc, mimeOf(*doc, r))
		doc.setBool("trashed", false)
	}
}

// setStamp writes a time that a Cozy needs. Where nobody knows it, it is when the source stood like this.
func (l *load) setStamp(doc *object, name string, t time.Time) {
	if t = cmp.Or(t, l.origin.Time); t.IsZero() {
		t = time.Unix(0, 0)
	}
	if was := instant(doc.text(name)); !was.Equal(t) || was.IsZero() {
		doc.setText(name, stamp(t))
	}
}

// mimeOf returns the media type of a file: what its body says, else its blob. A note of a Cozy's own editor is known
// by its extension.
func mimeOf(doc object, r formats.Record) string {
	body := objectOf(compact(r.Body))
	if r.Kind == formats.KindNote && strings.HasSuffix(r.Path, noteExt) {
		return cmp.Or(doc.text("mime"), noteMime)
	}
	return cmp.Or(body.text("mediaType"), doc.text("mime"), r.Blob.Type)
}

// notice collects what an import will do to a document.
func (l *load) notice(n *notices, r formats.Record, p plan, doc object, partial bool) {
	switch {
	case p.renamed:
		n.add("name", fmt.Sprintf("a Cozy does not take that name there; it is called %q", p.path))
	case p.path != "" && !inTree(r):
		n.add("moved", fmt.Sprintf("a Cozy keeps bytes only in the tree of files; they are at %q", p.path))
	}
	switch {
	case strings.HasPrefix(p.ref.doctype, ownPrefix) && r.Path != "":
		n.add("content-missing", "its bytes are not there, so that no file can be made of it; what is known of it is in a document of the doctype "+p.ref.doctype)
	case strings.HasPrefix(p.ref.doctype, ownPrefix):
		n.add("no-doctype", "a Cozy has no doctype for it and no program that shows it; it is carried whole in a document of the doctype "+p.ref.doctype)
	case partial && p.class != plainDocument:
		n.add("partial", "its member \""+ownMember+"\" carries what a Cozy's documents of files do not say, and an import drops that member")
	case partial:
		n.add("partial", "its member \""+ownMember+"\" carries what a Cozy's doctype "+p.ref.doctype+" does not say")
	}
	if reason := notImported(p.ref, doc); reason != "" {
		n.add("not-imported", reason)
	}
}

// notImported says why an import leaves out a document, or part of it, that is in the archive.
func notImported(to ref, doc object) string {
	switch {
	case strings.HasPrefix(to.doctype, vaultPrefix):
		return "the archive holds it, but a Cozy does not import the documents of a password vault; export the vault from its own program"
	case to.doctype == doctypePermits || to.doctype == doctypeSharings || to.doctype == doctypeShared:
		return "the archive holds it, but a Cozy imports shares and permissions only when it moves from another Cozy"
	case to.doctype == "io.cozy.triggers":
		return "the archive holds it, but a Cozy does not import triggers"
	case to.doctype == exportsType || to.doctype == "io.cozy.sessions":
		return "the archive holds it, but a Cozy imports neither exports nor sessions"
	case to.doctype == doctypeLogins:
		return "the archive holds it, but a Cozy imports an account only together with its connector"
	case to.doctype == doctypeSettings && (to.id == instanceID || to.id == "io.cozy.settings.bitwarden"), to.doctype == doctypeInstance:
		return "the archive holds it, but a Cozy keeps its own settings of that name"
	case to.doctype == doctypeContacts && doc.is("me"):
		return "it is the person's own contact, to which a Cozy gives the e-mail address that it knows itself"
	}
	return ""
}
