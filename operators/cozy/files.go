package cozy

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

const (
	relAlbum     = "album"
	relReference = "reference"
	relFile      = "file"
	folderType   = "directory"
	fileType     = "file"
	algorithm    = "md5"
)

func isFolder(doc object) bool { return doc.text("type") == folderType }

func readFolder(_ string, doc object, into *reading) error {
	meta := doc.object("cozyMetadata")
	into.refs = fileRefs(doc)
	return into.setBody(formats.Folder{
		Tags: doc.texts("tags"), Favourite: meta.is("favorite"), RestorePath: doc.text("restore_path"),
	})
}

func fillFolder(_ string, doc *object, body json.RawMessage) error {
	f, err := decode[formats.Folder](body)
	if err != nil {
		return err
	}
	doc.setText("type", folderType)
	setTags(doc, f.Tags)
	doc.setText("restore_path", f.RestorePath)
	setFavourite(doc, f.Favourite)
	return nil
}

// readFile reads what a file's document says. Whether its bytes agree is for the source to find out.
func readFile(_ string, doc object, into *reading) error {
	meta := doc.object("cozyMetadata")
	into.refs = fileRefs(doc)
	return into.setBody(formats.File{
		MediaType: doc.text("mime"), Tags: doc.texts("tags"), Executable: doc.is("executable"),
		Favourite: meta.is("favorite"), Encrypted: doc.is("encrypted"), RestorePath: doc.text("restore_path"),
		Checksums: checksums(doc), Metadata: doc.get("metadata"),
	})
}

// fillFile leaves size and checksum alone: they are those of the bytes, see load.frame.
func fillFile(_ string, doc *object, body json.RawMessage) error {
	f, err := decode[formats.File](body)
	if err != nil {
		return err
	}
	doc.setText("type", fileType)
	if f.MediaType != "" {
		setMime(doc, f.MediaType)
	}
	setTags(doc, f.Tags)
	doc.setBool("executable", f.Executable)
	doc.setBool("encrypted", f.Encrypted)
	doc.setText("restore_path", f.RestorePath)
	doc.set("metadata", f.Metadata)
	setFavourite(doc, f.Favourite)
	return nil
}

func readVersion(_ string, doc object, into *reading) error {
	fileID, _, ok := strings.Cut(doc.text("_id"), "/")
	if rel := refTo(relationships(doc), relFile); rel == "" && ok {
		into.refs = append(into.refs, ref{relFile, doctypeFiles, fileID})
	}
	return into.setBody(formats.Version{Tags: doc.texts("tags"), Checksums: checksums(doc), Metadata: doc.get("metadata")})
}

func fillVersion(_ string, doc *object, body json.RawMessage) error {
	v, err := decode[formats.Version](body)
	if err != nil {
		return err
	}
	setTags(doc, v.Tags)
	doc.set("metadata", v.Metadata)
	return nil
}

// checksums returns the MD5 of a document, base64, in hexadecimal. One that is none is left out: the source reports it.
func checksums(doc object) map[string]string {
	sum := md5Of(doc)
	if sum == nil {
		return nil
	}
	return map[string]string{algorithm: hex.EncodeToString(sum)}
}

func md5Of(doc object) []byte {
	sum, err := base64.StdEncoding.DecodeString(doc.text("md5sum"))
	if err != nil || len(sum) != 16 {
		return nil
	}
	return sum
}

// setTags leaves "tags": null and [] as they are where there are no tags.
func setTags(doc *object, tags []string) {
	if len(tags) > 0 || len(doc.texts("tags")) > 0 {
		doc.setTexts("tags", tags)
	}
}

func setFavourite(doc *object, favourite bool) {
	meta := doc.object("cozyMetadata")
	if meta.is("favorite") == favourite {
		return
	}
	meta.setBool("favorite", favourite)
	setMetadata(doc, meta)
}

// setMetadata writes cozyMetadata, with the versions of its form that a Cozy expects.
func setMetadata(doc *object, meta object) {
	if meta.get("metadataVersion") == nil {
		meta.set("metadataVersion", json.RawMessage("1"))
	}
	if meta.get("doctypeVersion") == nil {
		meta.setText("doctypeVersion", "1")
	}
	doc.setObject("cozyMetadata", meta)
}

// setMime sets the media type, and the class that a Cozy's interface goes by where the type is new.
func setMime(doc *object, mime string) {
	if mime == "" {
		mime = "application/octet-stream"
	}
	if doc.text("mime") == mime && doc.text("class") != "" {
		return
	}
	doc.setText("mime", mime)
	doc.setText("class", classOf(mime))
}

func classOf(mime string) string {
	base, _, _ := strings.Cut(mime, ";")
	family, kind, _ := strings.Cut(strings.TrimSpace(base), "/")
	switch {
	case family == "image" || family == "audio" || family == "video":
		return family
	case kind == "pdf":
		return "pdf"
	case strings.Contains(kind, "zip") || strings.Contains(kind, "compressed") || kind == "x-tar":
		return "zip"
	case strings.Contains(kind, "spreadsheet") || strings.Contains(kind, "excel") || kind == "csv":
		return "spreadsheet"
	case strings.Contains(kind, "presentation") || strings.Contains(kind, "powerpoint"):
		return "slide"
	case strings.Contains(kind, "shortcut"):
		return "shortcut"
	case family == "text" && (kind == "html" || kind == "css" || kind == "xml" || strings.Contains(kind, "script")), kind == "json":
		return "code"
	case family == "text" || strings.Contains(kind, "word") || strings.Contains(kind, "opendocument.text"):
		return "text"
	case kind == "octet-stream":
		return "binary"
	}
	return "files"
}

// fileRefs returns what a file or folder is referenced by: albums, and the documents of other programs.
func fileRefs(doc object) []ref {
	var refs []ref
	for _, raw := range elements(doc.get("referenced_by")) {
		by := objectOf(raw)
		r := ref{relReference, by.text("type"), by.text("id")}
		if r.doctype == doctypeAlbums {
			r.rel = relAlbum
		}
		if r.doctype != "" && r.id != "" && !program(r.doctype) {
			refs = append(refs, r)
		}
	}
	return refs
}

// program reports whether a reference is only an application's mark on its own folder, which leads to no document.
func program(doctype string) bool {
	return doctype == "io.cozy.apps" || doctype == "io.cozy.konnectors"
}

func setFileRefs(doc *object, refs []ref) []ref {
	albums, refs := take(refs, relAlbum)
	others, refs := take(refs, relReference)
	var out []json.RawMessage
	for _, raw := range elements(doc.get("referenced_by")) {
		if by := objectOf(raw); program(by.text("type")) {
			out = append(out, raw)
		}
	}
	for _, r := range append(albums, others...) {
		var o object
		o.setText("id", r.id)
		o.setText("type", r.doctype)
		out = append(out, o.bytes())
	}
	if doc.remove("referenced_by"); len(out) > 0 {
		doc.set("referenced_by", joined(out))
	}
	return refs
}

// refTo returns the id of the first link with a relation.
func refTo(refs []ref, rel string) string {
	for _, r := range refs {
		if r.rel == rel {
			return r.id
		}
	}
	return ""
}

func (r *reading) setBody(body any) error {
	raw, err := formats.MarshalBody(body)
	r.body = raw
	return err
}

// decode reads a body.
func decode[T any](body json.RawMessage) (T, error) {
	return formats.BodyAs[T](formats.Record{Body: body})
}

func readAlbum(_ string, doc object, into *reading) error {
	return into.setBody(formats.Album{Name: doc.text("name"), Auto: doc.is("auto")})
}

func fillAlbum(_ string, doc *object, body json.RawMessage) error {
	a, err := decode[formats.Album](body)
	if err != nil {
		return err
	}
	doc.setText("name", a.Name)
	doc.setBool("auto", a.Auto)
	return nil
}
