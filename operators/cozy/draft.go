package cozy

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// draft is a record in the making.
type draft struct {
	*walk
	part    *part
	index   int
	entry   *entry
	doc     object
	reading reading
	out     operators.Item
	bytes   *entry // the content, once it was read whole
	sum     []byte // its MD5
}

// item makes the record of a document.
func (d *draft) item() (operators.Item, error) {
	if d.doc.text("_id") == "" {
		d.doc.setText("_id", d.entry.id)
		d.fault("no-id", "the document does not say its id; the name of its entry is taken", false)
	}
	if secretive(d.entry.doctype) {
		if where := withoutSecrets(&d.doc); len(where) > 0 {
			d.fault("secret", "what could be read in clear was taken out: "+strings.Join(where, ", "), true)
			d.out.Omissions[len(d.out.Omissions)-1].Advice = "Sign in to that service again at the new operator."
		}
	}
	d.reading = read(d.entry.doctype, d.doc)
	d.out.Omissions = append(d.out.Omissions, d.reading.faults...)
	d.envelope()
	if repeated := d.repeated(); repeated {
		return d.done(), nil
	}
	d.settle()
	if d.hasContent() {
		if err := d.readContent(); err != nil {
			return operators.Item{}, err
		}
	}
	d.out.Record.Body = d.reading.body
	return d.done(), nil
}

func (d *draft) fault(code, reason string, isLost bool) {
	d.out.Omissions = append(d.out.Omissions, operators.Omission{Code: code, Reason: sentence(reason), Lost: isLost})
}

// done says in every omission which record it is about.
func (d *draft) done() operators.Item {
	for i := range d.out.Omissions {
		o := &d.out.Omissions[i]
		o.Dataset, o.Path = d.reading.dataset, d.out.Record.Path
		o.ID = recordID(d.reading.dataset, d.entry.doctype, d.doc.text("_id"))
	}
	return d.out
}

// envelope fills what every record has.
func (d *draft) envelope() {
	r := &d.out.Record
	r.ID = recordID(d.reading.dataset, d.entry.doctype, d.doc.text("_id"))
	r.Dataset, r.Kind = d.reading.dataset, d.reading.kind
	r.Created, r.Modified = d.reading.created, d.reading.modified
	for _, ref := range d.reading.refs {
		if recordable(ref.id) && ref.rel != "" {
			r.Links = append(r.Links, d.library.link(ref))
		}
	}
	r.Native = &formats.Native{Type: d.entry.doctype, Document: d.doc.bytes()}
	if own := d.reading.own; own != nil && own.Native != nil {
		r.Native = own.Native
	}
}

// repeated reports a second document with the id of another, which is left out.
func (d *draft) repeated() bool {
	key, state := digestOf(string(d.reading.dataset)+"/"+d.out.Record.ID), digestOf(string(d.out.Record.Native.Document))
	first, known := d.seen[key]
	if !known {
		d.seen[key] = state
		return false
	}
	d.out.Record = formats.Record{}
	if next := d.next(d.part, d.index); next != nil {
		d.used[next] = true
	}
	if first == state {
		d.fault("duplicate", "the export holds this document twice, with the same contents", false)
	} else {
		d.fault("duplicate", "the export holds another document with the same id; the first one is kept", true)
	}
	return true
}

// settle gives the record its path.
func (d *draft) settle() {
	r := &d.out.Record
	if own := d.reading.own; own != nil && own.Path != nil {
		r.Path = *own.Path
		return
	}
	id := d.doc.text("_id")
	switch {
	case d.entry.doctype == doctypeVersions:
		file, rev, _ := strings.Cut(id, "/")
		r.Path = formats.Versions.Place(safeName(file) + "/" + safeName(rev))
	case d.entry.doctype != doctypeFiles || id == rootID || id == trashID:
	case isFolder(d.doc):
		r.Path, _ = d.library.tree.place(id)
		if f := d.library.tree.folders[id]; f != nil && f.fault != "" {
			d.fault("parent-missing", f.fault, false)
		}
		d.renamed(lastOf(d.doc.text("path"), d.doc.text("name")))
	default:
		d.settleFile()
	}
}

func lastOf(path, name string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 && i+1 < len(path) {
		return path[i+1:]
	}
	return name
}

func (d *draft) settleFile() {
	r := &d.out.Record
	name := d.doc.text("name")
	dir, ok := d.library.tree.place(d.doc.text("dir_id"))
	trashed := d.doc.is("trashed")
	switch {
	case !ok && trashed:
		dir = string(formats.Trash)
		d.fault("parent-missing", "the folder in the trash that it was in is not there; it is put at the top of the trash", false)
	case !ok:
		dir = formats.Tree.Place(lostAndFound)
		d.fault("parent-missing", fmt.Sprintf("the folder that it was in is not there; it is put into %q", lostAndFound), false)
	}
	tree := d.library.tree
	r.Path = freePlace(dir, safeName(name), d.doc.text("_id"), false, func(place string) bool {
		key := digestOf(place)
		return tree.taken[key] || d.taken[key]
	})
	d.taken[digestOf(r.Path)] = true
	d.renamed(name)
}

// renamed says so where the last component of the path is not the name that the document has.
func (d *draft) renamed(name string) {
	_, last := splitLast(d.out.Record.Path)
	switch {
	case last == name:
	case last == safeName(name):
		d.fault("name", fmt.Sprintf("%q cannot be a name in a path; it is called %q", name, last), false)
	default:
		d.fault("duplicate-path", fmt.Sprintf("something else has the name %q in that folder; it is called %q", name, last), false)
	}
}

func splitLast(path string) (string, string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(0, i)], path[i+1:]
}

// hasContent reports whether the document describes bytes.
func (d *draft) hasContent() bool {
	return d.entry.doctype == doctypeVersions || d.entry.doctype == doctypeFiles && !isFolder(d.doc) && d.out.Record.Path+d.doc.text("type") != ""
}

// entryName returns the name that the content's entry has in an export that nobody touched.
func (d *draft) entryName() string {
	if d.entry.doctype == doctypeVersions {
		return filesDir + d.doc.text("_id")
	}
	dir := ""
	if f := d.library.tree.folders[d.doc.text("dir_id")]; f != nil {
		dir = strings.Trim(f.native, "/")
	}
	return filesDir + strings.TrimPrefix(dir+"/"+d.doc.text("name"), "/")
}

// readContent reads the bytes once, and holds them against what the document says.
func (d *draft) readContent() error {
	size, err := strconv.ParseUint(d.doc.digits("size"), 10, 63)
	sized := err == nil
	e := d.content(d.part, d.index, d.entryName(), size)
	if e == nil {
		if sized && size == 0 {
			d.emptyContent()
			return nil
		}
		d.missing("content-missing", "the export holds the description of the file but not its bytes")
		return nil
	}
	d.used[e] = true
	blob, sum, err := measure(d.ctx, e)
	switch {
	case errors.Is(err, errUnreadable):
		d.missing("content-corrupt", fmt.Sprintf("the bytes of the file cannot be read: %v", err))
		return nil
	case err != nil:
		return err
	}
	d.bytes, d.sum = e, sum
	d.keep(blob)
	d.out.Content = e.open
	if sized && uint64(blob.Size) != size {
		d.fault("size-differs", fmt.Sprintf("the file has %d bytes, its description says %d; what is there is carried", blob.Size, size), false)
	}
	d.checkSum()
	return d.finishBody()
}

func (d *draft) missing(code, reason string) {
	d.fault(code, reason, true)
	d.out.Omissions[len(d.out.Omissions)-1].Advice = "Ask the Cozy for a new export, or fetch the file from it."
}

// emptyContent gives an empty file its bytes, of which there are none to miss.
func (d *draft) emptyContent() {
	d.fault("content-missing", "the entry of the empty file is missing; being empty, it loses nothing", false)
	d.keep(formats.Blob{SHA256: formats.HashOf(nil)})
	d.out.Content = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(nil)), nil }
}

func (d *draft) keep(blob formats.Blob) {
	blob.Type = d.doc.text("mime")
	d.out.Record.Blob = &blob
}

// checkSum compares the MD5 with that of the document.
func (d *draft) checkSum() {
	want := md5Of(d.doc)
	switch {
	case want == nil:
		d.fault("checksum-missing", "the export does not say the checksum of the file, so that nobody can tell whether it is whole", false)
	case !bytes.Equal(want, d.sum):
		d.fault("checksum-differs", "the bytes of the file are not those of which its description has the checksum; what is there is carried", false)
	}
}

// finishBody puts into the body what only the bytes say: the checksum that they have, the text of a note. A body that
// a target of ours kept whole has that already.
func (d *draft) finishBody() error {
	if d.reading.own != nil && d.reading.own.Body != nil {
		return nil
	}
	body := objectOf(d.reading.body)
	switch d.reading.kind {
	case formats.KindFile, formats.KindVersion:
		if !bytes.Equal(md5Of(d.doc), d.sum) {
			var sums object
			sums.setText(algorithm, hex.EncodeToString(d.sum))
			body.setObject("checksums", sums)
		}
	case formats.KindNote:
		text, err := d.text()
		if err != nil {
			if !errors.Is(err, formats.ErrInvalid) && !errors.Is(err, errUnreadable) {
				return err
			}
			d.fault("note-text", fmt.Sprintf("the text of the note cannot be read from its bytes: %v", err), false)
		}
		body.set("markdown", formats.AppendString(nil, text))
	default:
		return nil
	}
	d.reading.body = body.bytes()
	return nil
}

func (d *draft) text() (string, error) {
	r, err := d.bytes.open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	return noteText(r)
}

// measure reads a content whole.
func measure(ctx context.Context, e *entry) (formats.Blob, []byte, error) {
	r, err := e.open()
	if err != nil {
		return formats.Blob{}, nil, err
	}
	defer r.Close()
	hash, sum := sha256.New(), md5.New()
	n, err := io.Copy(io.MultiWriter(hash, sum), withContext(ctx, r))
	if err != nil {
		if ctx.Err() == nil {
			err = damage(err)
		}
		return formats.Blob{}, nil, err
	}
	return formats.Blob{SHA256: formats.Hash(hash.Sum(nil)), Size: n}, sum.Sum(nil), nil
}

// withContext returns a reader that ends with the context's error.
func withContext(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
