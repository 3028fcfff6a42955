package cozy

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// load spools records and blobs in the staging folder; Finish writes the archive from there. In memory it keeps some
// hundred bytes for each record.
type load struct {
	target *Target
	origin operators.Origin
	lock   *flock.Flock
	dir    string
	spool  *os.File
	end    int64 // of the spool

	blobs   map[formats.Hash]staged
	records map[digest]spooled // by dataset and id
	ids     map[digest]digest  // document → record
	aliases map[digest]ref     // records whose document is not where defaultRef says
	places  *places
	trashed map[string]bool // ids of files that are in the trash and left out
}

// staged is a blob in the staging folder.
type staged struct {
	md5  [md5.Size]byte
	size int64
}

// spooled says where the line of a record is in the spool.
type spooled struct {
	offset int64
	length int32
	given  digest // of the line as it was put
	ref    ref    // its document
	path   string // its place among the files; "" if it has none there
	folder bool
}

func (t *Target) begin(origin operators.Origin) (*load, error) {
	l := &load{
		target: t, origin: origin, dir: t.staging(), blobs: map[formats.Hash]staged{}, records: map[digest]spooled{},
		ids: map[digest]digest{}, aliases: map[digest]ref{}, places: newPlaces(), trashed: map[string]bool{},
	}
	if err := t.clean(); err != nil {
		return nil, err
	}
	if err := t.free(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(l.dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if l.lock, err = t.lock(); err != nil {
		return nil, err
	}
	if l.spool, err = os.OpenFile(filepath.Join(l.dir, "records"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, errors.Join(err, l.lock.Close(), os.RemoveAll(l.dir))
	}
	return l, nil
}

func (l *load) blobPath(h formats.Hash) string { return filepath.Join(l.dir, h.String()) }

// Has reports whether these bytes were put in this load.
func (l *load) Has(ctx context.Context, blob formats.Blob) (bool, error) {
	_, ok := l.blobs[blob.SHA256]
	return ok, ctx.Err()
}

// PutBlob stores bytes in the staging folder. A size below zero is unknown.
func (l *load) PutBlob(ctx context.Context, content io.Reader, size int64) (formats.Blob, error) {
	blob, err := l.stage(ctx, content, size)
	if err != nil {
		return formats.Blob{}, fmt.Errorf("store bytes for an archive for a Cozy: %w", err)
	}
	return blob, nil
}

func (l *load) stage(ctx context.Context, content io.Reader, size int64) (formats.Blob, error) {
	file, err := os.CreateTemp(l.dir, "blob-*")
	if err != nil {
		return formats.Blob{}, err
	}
	hash, sum := sha256.New(), md5.New()
	limited := withContext(ctx, content)
	if size >= 0 {
		limited = io.LimitReader(limited, size+1)
	}
	n, err := io.Copy(io.MultiWriter(file, hash, sum), limited)
	if err == nil && size >= 0 && n != size {
		err = fmt.Errorf("%w: the content was said to have %d bytes and has %s", formats.ErrInvalid, size, sizeText(n, size))
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return formats.Blob{}, errors.Join(err, os.Remove(file.Name()))
	}
	blob := formats.Blob{SHA256: formats.Hash(hash.Sum(nil)), Size: n}
	if err := os.Rename(file.Name(), l.blobPath(blob.SHA256)); err != nil {
		return formats.Blob{}, errors.Join(err, os.Remove(file.Name()))
	}
	l.blobs[blob.SHA256] = staged{md5: [md5.Size]byte(sum.Sum(nil)), size: n}
	return blob, nil
}

func sizeText(n, size int64) string {
	if n > size {
		return "more"
	}
	return fmt.Sprintf("%d", n)
}

func recordKey(r formats.Record) digest { return digestOf(string(r.Dataset) + "\x00" + r.ID) }

// PutRecord spools a record and says under which id and path the archive holds it.
func (l *load) PutRecord(ctx context.Context, r formats.Record) (operators.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return operators.Outcome{}, err
	}
	line, err := r.AppendLine(nil)
	if err != nil {
		return refused(r, "invalid", err.Error(), ""), nil
	}
	key, given := recordKey(r), digestOf(string(line))
	was, known := l.records[key]
	if !r.Deleted.IsZero() {
		return l.remove(key, known, r), nil
	}
	if known && was.given == given {
		held := r
		held.ID, held.Path = l.heldAs(r, was.ref, was.path)
		return operators.Outcome{Result: operators.Present, Record: held}, nil
	}
	if known {
		l.forget(key)
	}
	return l.add(key, given, known, r)
}

func refused(r formats.Record, code, reason, advice string) operators.Outcome {
	return operators.Outcome{Result: operators.Refused, Record: r, Omission: &operators.Omission{
		Dataset: r.Dataset, ID: r.ID, Path: r.Path, Code: code, Reason: sentence(reason), Advice: advice, Lost: true,
	}}
}

func (l *load) remove(key digest, known bool, r formats.Record) operators.Outcome {
	if !known {
		return operators.Outcome{Result: operators.Present, Record: r}
	}
	l.forget(key)
	return operators.Outcome{Result: operators.Removed, Record: r}
}

// forget drops a record from the books; its line stays in the spool, where nobody looks for it.
func (l *load) forget(key digest) {
	was := l.records[key]
	delete(l.records, key)
	delete(l.ids, digestOf(was.ref.doctype+"/"+was.ref.id))
	delete(l.aliases, key)
	if was.path != "" {
		l.places.leave(was.path, key)
	}
}

// add plans where a record goes, tries to write its document, and spools it.
func (l *load) add(key, given digest, known bool, r formats.Record) (operators.Outcome, error) {
	p, refusal := l.plan(key, r)
	if refusal != nil {
		return *refusal, nil
	}
	doc, notices, err := l.document(r, p, rootID)
	if err != nil {
		l.unplan(key, p)
		return refused(r, "invalid", err.Error(), ""), nil
	}
	if size := len(doc); size > maxDocument {
		l.unplan(key, p)
		return refused(r, "too-large", fmt.Sprintf("its document would have %d bytes, more than %d", size, maxDocument), ""), nil
	}
	out := r
	out.ID, out.Path = l.heldAs(r, p.ref, p.path)
	if err := l.write(key, given, r, p); err != nil {
		return operators.Outcome{}, fmt.Errorf("spool a record for an archive for a Cozy: %w", err)
	}
	result := operators.Stored
	switch {
	case p.renamed:
		result = operators.Renamed
	case known:
		result = operators.Updated
	}
	return operators.Outcome{Result: result, Record: out, Omission: notices.omission(r)}, nil
}

// heldAs returns the id and path that a record has when the archive is read back.
func (l *load) heldAs(r formats.Record, to ref, path string) (string, string) {
	id := recordID(r.Dataset, to.doctype, to.id)
	switch {
	case to.doctype == doctypeVersions:
		return id, formats.Versions.Place(to.id)
	case inTree(r) && path != "":
		return id, path
	}
	return id, r.Path
}

// inTree reports whether a record has its place in the person's tree.
func inTree(r formats.Record) bool {
	return strings.HasPrefix(r.Path, string(formats.Tree)+"/")
}

// write appends a record to the spool.
func (l *load) write(key, given digest, r formats.Record, p plan) error {
	line, err := r.AppendLine(nil)
	if err != nil {
		return err
	}
	if _, err := l.spool.WriteAt(line, l.end); err != nil {
		return err
	}
	l.records[key] = spooled{offset: l.end, length: int32(len(line)), given: given, ref: p.ref, path: p.path, folder: p.class == folderDocument}
	l.end += int64(len(line))
	return nil
}

// spooledRecord reads a record back.
func (l *load) spooledRecord(s spooled) (formats.Record, error) {
	line := make([]byte, s.length)
	if _, err := l.spool.ReadAt(line, s.offset); err != nil {
		return formats.Record{}, err
	}
	return formats.ParseLine(line)
}

// Abort removes everything that the load wrote.
func (l *load) Abort() error {
	if l.target.load != l {
		return nil
	}
	l.target.load = nil
	return l.discard()
}

// discard closes and removes the staging folder.
func (l *load) discard() error {
	return errors.Join(l.spool.Close(), os.RemoveAll(l.dir), l.lock.Close())
}

// Held reads the archive again and counts what it holds. Folders that only exist because files are in them, and the
// instance's own entry, are not counted.
func (l *load) Held(ctx context.Context) (map[formats.Dataset]operators.Count, error) {
	if !l.target.done {
		return nil, fmt.Errorf("%w: the archive for a Cozy is not finished", operators.ErrUnsupported)
	}
	counts, err := l.target.count(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the archive for a Cozy again: %w", err)
	}
	return counts, nil
}

func (t *Target) count(ctx context.Context) (map[formats.Dataset]operators.Count, error) {
	paths, err := t.written()
	if err != nil {
		return nil, err
	}
	source, err := Open(paths...)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	counts := map[formats.Dataset]operators.Count{}
	for item, err := range source.Records(ctx, 0) {
		if err != nil {
			return nil, err
		}
		r := item.Record
		if r.ID == "" || implied(r) {
			continue
		}
		c := counts[r.Dataset]
		c.Records++
		if r.Blob != nil {
			c.Files++
			c.Bytes += r.Blob.Size
		}
		counts[r.Dataset] = c
	}
	return counts, nil
}

// implied reports whether a record is a folder that a load made because files are in it.
func implied(r formats.Record) bool {
	if r.Kind != formats.KindFolder || r.Native == nil {
		return false
	}
	doc := objectOf(r.Native.Document)
	mark := doc.object(ownMember)
	return mark.is("implied")
}

// written returns the manifest and the parts of a finished archive.
func (t *Target) written() ([]string, error) {
	m, err := readManifest(t.manifestPath())
	if err != nil {
		return nil, err
	}
	paths := []string{t.manifestPath()}
	for n := range len(m.Data.Attributes.PartsCursors) + 1 {
		paths = append(paths, t.partPath(n))
	}
	return paths, nil
}

// domain returns of which instance the archive is.
func (l *load) domain(instance object) string {
	return cmp.Or(l.target.opts.Domain, instance.text("domain"), defaultDomain)
}
